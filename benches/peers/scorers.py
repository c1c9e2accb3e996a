"""Compares `idk-eval score` with MMAU's two rules, written again in Python, item by item.

    python benches/peers/scorers.py --questions QUESTIONS.json [ANSWERS.jsonl ...]

The rules are the ones in docs/reference/scorers.md: the word-set rule of MMAU's evaluation since January 2025, and the
substring rule before it. Two kinds of answers are judged: made-up ones (every trap of that page, by a seed) and the files
of stored answers that are named, such as a run's `eval/answers-*.jsonl`. For each the script prints how many are right by
both, and on how many items the two disagree; it ends with code 1 if there is one. It needs Python and nothing else, and the
program `idk-eval` (`--idk-eval PATH`, else target/release/idk-eval).

How single items are seen through a program that prints totals: the answers are given as `--before`, and as `--after` a
file that holds the right option's text where Python says right and nothing where it says wrong. Both are judged by the
program, so every item on which the two differ is one that changes from correct to wrong or back (`cw`, `wc`).
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path


def words(text):
    return set(re.findall(r"\w+", text.lower()))


def by_word_set(reply, answer, choices):
    """All words of the answer, and none that only wrong options have."""
    said, right = words(reply), words(answer)
    wrong = set()
    for choice in choices:
        if words(choice) != right:
            wrong |= words(choice) - right
    return bool(said) and right <= said and not said & wrong


def by_substring(reply, answer, choices):
    """The answer is part of the reply, and no other option is."""
    said = reply.lower()
    others = [choice for choice in choices if choice != answer]
    return bool(said) and answer.lower() in said and not any(choice.lower() in said for choice in others)


RULES = {"mmau-wordset": by_word_set, "mmau-substring": by_substring}


def made_up(question, rng):
    """One reply of a kind that the seed chooses."""
    answer, choices = question["answer"], question["choices"]
    other = rng.choice([choice for choice in choices if choice != answer] or [answer])
    letter = "ABCDEFGHIJ"[choices.index(answer)]
    shuffled = answer.split()
    rng.shuffle(shuffled)
    kinds = [
        answer,
        answer.upper() + ".",
        other,
        f"({letter}) {answer}",
        f"({letter})",
        f"The answer is {answer}.",
        f"The answer is {other}.",
        f"{answer}, not {other}",
        f"It is not {answer}",
        " ".join(shuffled),
        f"{answer} {answer}",
        answer[: max(1, len(answer) // 2)],
        f"a{answer}b",
        answer.replace(" ", "_"),
        answer.replace(" ", "-"),
        f"{answer}\n{other}",
        "I don't know",
        "",
        "...",
    ]
    return rng.choice(kinds)


def read_jsonl(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def compare(program, rule, questions_path, questions, replies, folder):
    """Right by the program, right by Python, and the items on which they disagree."""
    judge = RULES[rule]
    right = {id: judge(replies[id], row["answer"], row["choices"]) for id, row in questions.items()}
    before, after = folder / "before.jsonl", folder / "after.jsonl"
    write_jsonl(before, [{"id": id, "text": replies[id]} for id in questions])
    write_jsonl(after, [{"id": id, "text": questions[id]["answer"] if right[id] else ""} for id in questions])
    command = [program, "score", "--questions", questions_path, "--before", before, "--after", after]
    done = subprocess.run([*map(str, command), "--scorer", rule, "--json"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    row = json.loads(done.stdout)
    if row["n"] != len(questions):
        sys.exit(f"{row['n']} of {len(questions)} questions were scored")
    return row["cc"] + row["cw"], sum(right.values()), row["cw"] + row["wc"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", required=True, help="MMAU-shaped JSON, as a run's questions/test/questions.json")
    parser.add_argument("--idk-eval", default="target/release/idk-eval")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("answers", nargs="*", help="files of stored answers to the same questions")
    arguments = parser.parse_args()
    rows = json.loads(Path(arguments.questions).read_text(encoding="utf-8"))
    # Questions with an option that is there twice are not scored by the program either.
    distinct = [row for row in rows if len({choice.strip().lower() for choice in row["choices"]}) == len(row["choices"])]
    questions = {row["id"]: row for row in distinct}
    rng = random.Random(arguments.seed)
    sets = {"made up": {id: made_up(row, rng) for id, row in questions.items()}}
    for path in arguments.answers:
        sets[Path(path).name] = {row["id"]: row["text"] for row in read_jsonl(path)}
    print("| answers | rule | n | right by idk-eval | right by Python | items that differ |\n|---|---|---:|---:|---:|---:|")
    differing = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, replies in sets.items():
            for rule in RULES:
                ours, theirs, differ = compare(
                    arguments.idk_eval, rule, arguments.questions, questions, replies, Path(folder)
                )
                print(f"| {name} | `{rule}` | {len(questions)} | {ours} | {theirs} | {differ} |")
                differing += differ
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
