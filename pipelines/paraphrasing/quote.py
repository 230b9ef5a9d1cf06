"""What it would cost to have a build's captions reworded, before anything is spent."""

from pipelines.build.outputs import Job
from pipelines.build.plans import read_plan
from pipelines.build.tables import BUCKET_PLAN, CAPTIONS
from pipelines.errors import PipelineError
from pipelines.llm.answers import Answers
from pipelines.llm.money import USD, cost, most, price_of
from pipelines.paraphrasing.conversation import opening
from pipelines.paraphrasing.work import works
from pipelines.storage.store import Store
from schemas.recipe import Recipe
from schemas.record import Record

# of captions are asked about twice: of published paraphrases by ChatGPT, 8 to 15 % lose a fact
_SECOND_SHARE = 0.15
_REFUSED_BYTES = 2000  # a second request repeats each refused text, and why


class Quote(Record):
    """Calls, tokens and money for the captions that are not answered yet.

    `likely_usd` assumes four bytes a token and second requests for 15 %; `most_usd` counts every
    token and every try at its longest.
    """

    model: str
    batch: bool
    captions: int
    answered: int  # requests whose answer is kept from before
    calls: int
    prompt_tokens: int
    answer_tokens: int
    likely_usd: float
    most_usd: float
    spent_usd: float  # so far
    budget_usd: float

    @property
    def lines(self) -> tuple[str, ...]:
        """The quote in words, in four lines."""
        how = " in batches" if self.batch else ""
        return (
            (
                f"captions: {self.captions} to reword by {self.model}{how}, "
                f"{self.answered} of their requests answered already;"
            ),
            (
                f"calls: about {self.calls}, with {self.prompt_tokens} "
                f"tokens of prompts and {self.answer_tokens} of answers;"
            ),
            (
                f"money: about ${self.likely_usd:.4f}, and at the very most, "
                f"if all calls failed in the dearest way, ${self.most_usd:.4f};"
            ),
            (
                f"budget: ${self.budget_usd:.4f} (llm.budget_usd), "
                f"of which ${self.spent_usd:.4f} is spent"
            ),
        )


def quote(store: Store, recipe: Recipe) -> Quote:
    """A quote for a build whose captions are composed.

    Raises `PipelineError` where they are not, or where the model has no price.
    """
    llm, count = recipe.llm, recipe.caption.paraphrases
    price, answers = price_of(llm), Answers(store)
    captions, worst = 0, 0
    prompt, answer = 0, 0
    requests: set[str] = set()
    answered: set[str] = set()
    for bucket in read_plan(store).buckets if BUCKET_PLAN.exists(store) and count else ():
        if not store.exists(CAPTIONS.file(bucket)):
            raise PipelineError(
                f"{store.url}: step caption is not done; "
                "run `obbligato build` first: it asks nobody while llm.budget_usd is 0"
            )
        for work in works(Job(store.url, bucket, recipe)):
            captions += 1
            request = opening(work.control, work.labels, count, llm)
            if answers.get(request.hash) is not None:
                answered.add(request.hash)
            elif request.hash not in requests:
                requests.add(request.hash)
                prompt += request.likely_prompt_tokens
                answer += count * len(work.control.text.encode()) // 4
                worst += llm.attempts * (
                    2 * most(price, request, batch=llm.batch)
                    + cost(price, count * _REFUSED_BYTES, 0, batch=llm.batch)
                )
    calls = round(len(requests) * (1 + _SECOND_SHARE))
    prompt, answer = round(prompt * (1 + _SECOND_SHARE)), round(answer * (1 + _SECOND_SHARE))
    return Quote(
        model=llm.model,
        batch=llm.batch,
        captions=captions,
        answered=len(answered),
        calls=calls,
        prompt_tokens=prompt,
        answer_tokens=answer,
        likely_usd=cost(price, prompt, answer, batch=llm.batch) / USD,
        most_usd=worst / USD,
        spent_usd=answers.spent / USD,
        budget_usd=llm.budget_usd,
    )
