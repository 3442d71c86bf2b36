# SPDX-License-Identifier: Apache-2.0
"""The demo corpus's speakers: timbre, speed, pitch and liveliness of each.

A held-out speaker's timbre is spoken by nobody in training, and its speed and
pitch lie within what training spans. `low` and `high` tell the pitch.

The one voice of the corpus for a single speaker is among the clearest and
speaks slowly.
"""

from ns_jax.text.espeak import Voice

# Voice(variant, words per minute, pitch, pitch range); name -> voice.
TRAIN = {
  "low_01": Voice("", 170, 50, 50),
  "low_02": Voice("Alex", 185, 40, 60),
  "low_03": Voice("Andy", 160, 62, 45),
  "low_04": Voice("Denis", 175, 35, 55),
  "low_05": Voice("Diogo", 190, 70, 40),
  "low_06": Voice("Henrique", 165, 45, 70),
  "low_07": Voice("Michael", 180, 85, 50),
  "low_08": Voice("Mike", 155, 55, 65),
  "low_09": Voice("Nguyen", 170, 42, 35),
  "low_10": Voice("gustave", 195, 32, 60),
  "low_11": Voice("boris", 175, 78, 45),
  "low_12": Voice("rob", 160, 65, 55),
  "low_13": Voice("edward", 185, 58, 70),
  "low_14": Voice("ian", 170, 74, 50),
  "low_15": Voice("iven4", 180, 48, 40),
  "low_16": Voice("m1", 165, 68, 60),
  "low_17": Voice("m2", 190, 38, 50),
  "low_18": Voice("m5", 175, 90, 65),
  "low_19": Voice("m6", 155, 30, 45),
  "low_20": Voice("m7", 185, 60, 55),
  "low_21": Voice("m8", 170, 80, 70),
  "low_22": Voice("pablo", 160, 52, 35),
  "high_01": Voice("Alicia", 190, 40, 40),
  "high_02": Voice("Andrea", 165, 45, 55),
  "high_03": Voice("Annie", 175, 38, 35),
  "high_04": Voice("anika", 180, 22, 50),
  "high_05": Voice("aunty", 185, 60, 60),
  "high_06": Voice("belinda", 165, 48, 65),
  "high_07": Voice("f1", 175, 42, 50),
  "high_08": Voice("f5", 190, 55, 45),
  "high_09": Voice("grandma", 160, 35, 40),
  "high_10": Voice("shelby", 180, 62, 35),
  "high_11": Voice("steph", 170, 68, 70),
  "high_12": Voice("Alicia", 195, 18, 60),
  "high_13": Voice("Andrea", 175, 20, 40),
  "high_14": Voice("Annie", 190, 15, 50),
  "high_15": Voice("anika", 160, 38, 65),
  "high_16": Voice("aunty", 180, 38, 45),
  "high_17": Voice("belinda", 185, 28, 50),
  "high_18": Voice("f1", 165, 66, 65),
  "high_19": Voice("f5", 170, 30, 60),
  "high_20": Voice("grandma", 185, 55, 55),
  "high_21": Voice("shelby", 165, 40, 55),
  "high_22": Voice("steph", 190, 45, 40),
}
VALID = {
  "low_23": Voice("m4", 175, 60, 55),
  "low_24": Voice("Mario", 165, 42, 50),
  "high_23": Voice("linda", 180, 40, 50),
  "high_24": Voice("f4", 170, 58, 60),
}
TEST = {
  "low_25": Voice("m3", 170, 45, 55),
  "low_26": Voice("robert", 180, 70, 50),
  "high_25": Voice("f2", 175, 50, 50),
  "high_26": Voice("f3", 165, 36, 55),
}
ONE = {"clear": Voice("f2", 145, 50, 50)}
