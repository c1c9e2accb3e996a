#!/usr/bin/env python3
"""Writes a question set and the answers of a base model and a method to it, of any size, to measure `idk-eval score`.

    python scripts/make_rows.py 1000000 /tmp/rows
    /usr/bin/time -v idk-eval score --questions /tmp/rows/questions.jsonl --before /tmp/rows/before.jsonl --after /tmp/rows/after.jsonl

Two questions share a clip, which does not exist. Replies are letters with their option, sentences and refusals.
"""

import json
import random
import sys
from pathlib import Path

SOUNDS = "dog cat hen piano violin drum rain wind engine siren bell train speech laughter guitar flute".split()


def main() -> None:
    count, folder = int(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(1)
    with (
        open(folder / "questions.jsonl", "w") as questions,
        open(folder / "before.jsonl", "w") as before,
        open(folder / "after.jsonl", "w") as after,
    ):
        for number in range(count):
            name = f"q{number:07}"
            choices = draw.sample(SOUNDS, 4)
            answer = draw.choice(choices)
            question = {
                "id": name,
                "audio_id": f"clips/{number // 2:06}.wav",
                "question": "Which of these sounds is heard first in the recording?",
                "choices": choices,
                "answer": answer,
                "task": "sound",
                "difficulty": "easy",
                "sub-category": "event",
                "dataset": "made",
            }
            said = answer if draw.random() < 0.6 else draw.choice(choices)
            lettered = lambda choice: f"({'ABCD'[choices.index(choice)]}) {choice}"
            share = draw.random()
            reply = "I don't know" if share < 0.2 else f"The answer is {said}." if share < 0.8 else lettered(answer)
            for file, row in [
                (questions, question),
                (before, {"id": name, "text": lettered(said)}),
                (after, {"id": name, "text": reply}),
            ]:
                file.write(json.dumps(row) + "\n")


main()
