# SPDX-License-Identifier: Apache-2.0
import pytest

from ns_jax.errors import UserError
from ns_jax.text import normalize


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("It costs $3.50.", "It costs three point five dollars."),
    ("1,234 apples", "one thousand two hundred and thirty four apples."),
    ("about 1000.", "about one thousand."),
    ("12,000 men", "twelve thousand men."),
    ("a thousand ships", "a thousand ships."),
    ("in 1999", "in nineteen ninety nine."),
    ("the 1990s", "the nineteen nineties."),
    ("from 1914-1918", "from nineteen fourteen to nineteen eighteen."),
    ("the 2nd of 10", "the second of ten."),
    ("June 5, 2020", "the fifth of june, twenty twenty."),
    ("at 3:30 pm.", "at three thirty P M."),
    ("5 p.m. We go", "five p m. We go."),
    ("50% & 5km", "fifty percent and five kilometers."),
    ("#5", "number five."),
    ("5 > 3", "five three."),
    ("3€", "three euros."),
    ("-3 and −4", "negative three and negative four."),
    ("Dr. Fox", "doctor Fox."),
    ("Elm Dr.", "Elm Drive."),
    ("St. Paul St. is long", "Saint Paul Street is long."),
    ("Mr. Lee vs. Mrs. Lee", "Mister Lee versus Misses Lee."),
    ("cats, dogs etc.", "cats, dogs et cetera."),
    ("e.g. this", "for example this."),
    ("Wait... what?! (really)", "Wait, what? really."),
    ("“Quoted” — dash", "Quoted, dash."),
    ("don't 'quote' it’s", "don't quote it's."),
    ("café 😀 naïve", "cafe naive."),
    (" Hello ,world  !", "Hello, world!"),
    ("ok :)", "ok."),
    ("state-of-the-art", "state of the art."),
  ],
)
def test_spells_out(text, expected):
  assert normalize.normalize(text) == expected


def test_normal_text_is_a_fixed_point():
  text = "Well, is it true? Yes; go: now!"
  assert normalize.normalize(text) == text


@pytest.mark.parametrize("text", ["", "  \n", "😀😀", "...", "“—”?!"])
def test_nothing_to_speak(text):
  with pytest.raises(UserError, match="nothing to speak"):
    normalize.normalize(text)


@pytest.mark.parametrize(("text", "letter"), [("日本", "日"), ("да", "д")])
def test_other_scripts_are_refused(text, letter):
  with pytest.raises(UserError, match=letter):
    normalize.normalize(text)


def test_message_is_one_line():
  with pytest.raises(UserError) as caught:
    normalize.normalize("日\n本" * 100)
  assert "\n" not in str(caught.value)
  assert len(str(caught.value)) < 200
