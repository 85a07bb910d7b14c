"""python -m avatar.bench.replies: what the bundled model answers to typical spoken questions, to be read.

The counts stand in for what a reader notices first. Alone, in this process, without voice or ears.
"""

import sys
from collections.abc import Iterator, Sequence
from statistics import median

from avatar.bench.words import normalised
from avatar.engines.base import LLM, SYSTEM_PROMPT, Message
from avatar.engines.llamacpp import load
from avatar.errors import AvatarError
from avatar.settings import Settings

ALONE = (
    "What is the capital of France?",
    "How are you today?",
    "Tell me a joke.",
    "What should I cook for dinner tonight?",
    "Why is the sky blue?",
    "Should I get a dog or a cat?",
    "Who would win in a fight, a bear or a shark?",
    "Can you help me sleep better?",
    "What is the weather in Paris?",
    "Hello world.",
    "I'm bored.",
    "What's two plus two?",
    "Good morning!",
    "Tell me about dinosaurs.",
    "How do I make tea?",
    "What is your name?",
    "Who wrote Romeo and Juliet?",
    "I had a bad day at work.",
    "What's a good name for a cat?",
    "How far is the moon?",
    "Recommend me a movie.",
    "What can you do?",
    "Do you like music?",
    "It's my birthday today.",
    "What is the meaning of life?",
    "How do airplanes fly?",
    "Thank you.",
    "Never mind.",
    "What time is it?",
    "Explain photosynthesis.",
    "I want to learn to play the guitar.",
    "My phone is broken.",
    "Where should I go on holiday?",
    "How many days are in a week?",
    "Is coffee bad for me?",
    "Say something nice.",
)
CHATS = (
    ("Hi there.", "How are you?", "What do you think about rain?", "I like walking in the rain.", "Sing a song for me.")
    + ("That was short.", "Tell me a story then.", "What happened next?", "Goodbye."),
    ("What is a volcano?", "Are they dangerous?", "Where can I see one?", "Would you go there with me?")
    + ("What should I pack?", "Thanks, and what about food?", "I don't like fish.", "How long does the flight take?"),
    ("I'm feeling sad.", "My cat died yesterday.", "Her name was Luna.", "What should I do now?")
    + ("Maybe I should get another cat.", "What was my cat's name?"),
    ("Welcome to Munchine, voice text to speech.", "Hello world.", "Welcome to Moonshine voice text to speech.")
    + ("One zero zero zero one nine oh two one oh.", "Some call me nature, others call me mother nature.")
    + ("Welcome to Moonshine, voice text to speech.", "Should I get a dog or a cat?", "What is the weather in Paris?"),
)


def conversation(mind: LLM, said: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each of `said` with its answer; the earlier ones are remembered. Raises AvatarError."""
    talk = [Message("system", SYSTEM_PROMPT)]
    for words in said:
        talk.append(Message("user", words))
        answer = "".join(mind.reply(talk, 0)).strip()
        talk.append(Message("assistant", answer))
        yield words, answer


def harps(answer: str) -> bool:
    """Whether it says three words in a row a second time."""
    words = normalised(answer)
    threes = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(threes)) < len(threes)


def main() -> int:
    try:
        mind = load(Settings.from_env(), lambda fraction: None)
    except AvatarError as error:
        print(f"The bench stopped: {error.sentence}", file=sys.stderr)
        return 2
    answers: list[str] = []
    again = 0
    for said in (*((question,) for question in ALONE), *CHATS):
        here: list[str] = []
        for words, answer in conversation(mind, said):
            print(f"{words}\n    {answer}", flush=True)
            again += answer in here
            here.append(answer)
        answers += here
        print()
    length, harping = round(median(map(len, answers))), sum(map(harps, answers))
    print(
        f"{len(answers)} answers of {length} characters at the median; {harping} say three words in a row twice, "
        f"{again} were given before in their conversation"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
