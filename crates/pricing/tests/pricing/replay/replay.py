#!/usr/bin/env python3
"""Makes the corpus that bills are compared with: invents what calls used, bills it with decimal
arithmetic of its own, and writes each call down as the provider's answer would report it.

Nothing of the crate is read here. `python3 replay.py` writes models.csv, prices.csv and calls.jsonl
beside itself, always the same.
"""
import csv
import json
import random
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal as D, getcontext
from pathlib import Path

getcontext().prec = 60
HERE = Path(__file__).parent
SEED, CALLS = 20261122, 900
MILLION = D(1_000_000)
RATE = ("1 EUR = 1.0832 USD", "EUR", D("1.0832"))
CLASSES = [
    "cache_read", "cache_write_5m", "cache_write_1h", "input", "audio_in", "image_in", "output",
    "reasoning", "audio_out", "image_out", "image", "search", "request", "second",
]
INPUT = CLASSES[:6]
ONE = {"image", "search", "request", "second"}

# model: (kind, dialect, currency, {service: [(above, span, {class: price})]})
PRICES = {
    "plain": ("chat", "openai", "USD", {"standard": [(0, "whole", {"input": "0.15", "output": "0.6"})]}),
    "cached": ("chat", "openai", "USD", {
        "standard": [(0, "whole", {"input": "1.25", "cache_read": "0.125", "output": "10"})],
        "batch": [(0, "whole", {"input": "0.625", "cache_read": "0.0625", "output": "5"})],
        "flex": [(0, "whole", {"input": "0.625", "cache_read": "0.0625", "output": "5"})],
        "priority": [(0, "whole", {"input": "2.5", "cache_read": "0.25", "output": "20"})],
    }),
    "long": ("chat", "openai", "USD", {
        "standard": [
            (0, "whole", {"input": "1.25", "cache_read": "0.31", "output": "10"}),
            (200_000, "whole", {"input": "2.5", "cache_read": "0.625", "output": "15"}),
        ],
        "batch": [
            (0, "whole", {"input": "0.625", "cache_read": "0.155", "output": "5"}),
            (200_000, "whole", {"input": "1.25", "cache_read": "0.3125", "output": "7.5"}),
        ],
    }),
    "graded": ("chat", "openai", "EUR", {
        "standard": [
            (0, "whole", {"input": "0.8", "cache_read": "0.08", "output": "2.4"}),
            (32_000, "part", {"input": "1.2", "cache_read": "0.12"}),
            (128_000, "part", {"input": "2.4", "cache_read": "0.24"}),
        ],
    }),
    "thinker": ("chat", "openai", "USD", {
        "standard": [(0, "whole", {"input": "0.4", "output": "1.2", "reasoning": "4"})],
    }),
    "hidden": ("chat", "hidden", "USD", {
        "standard": [(0, "whole", {"input": "0.3", "cache_read": "0.03", "output": "2.5"})],
    }),
    "hits": ("chat", "deepseek", "USD", {
        "standard": [(0, "whole", {"input": "0.28", "cache_read": "0.028", "output": "0.42"})],
    }),
    "speaker": ("chat", "openai", "USD", {
        "standard": [(0, "whole", {"input": "2.5", "audio_in": "40", "output": "10", "audio_out": "80"})],
    }),
    "letters": ("chat", "messages", "USD", {
        "standard": [(0, "whole", {
            "input": "3", "cache_read": "0.3", "cache_write_5m": "3.75", "cache_write_1h": "6",
            "output": "15", "search": "0.01",
        })],
        "batch": [(0, "whole", {
            "input": "1.5", "cache_read": "0.15", "cache_write_5m": "1.875", "cache_write_1h": "3",
            "output": "7.5", "search": "0.01",
        })],
    }),
    "responses": ("chat", "responses", "USD", {
        "standard": [(0, "whole", {"input": "0.05", "cache_read": "0.005", "output": "0.4"})],
        "flex": [(0, "whole", {"input": "0.025", "cache_read": "0.0025", "output": "0.2"})],
    }),
    "vectors": ("embedding", "embeddings", "EUR", {
        "standard": [(0, "whole", {"input": "0.02"})],
        "batch": [(0, "whole", {"input": "0.01"})],
    }),
    "painter": ("image", "responses", "USD", {
        "standard": [(0, "whole", {"input": "5", "image_in": "10", "output": "40", "image_out": "40"})],
    }),
    "by-image": ("image", "none", "USD", {"standard": [(0, "whole", {"image": "0.0336", "request": "0.001"})]}),
    "local": ("chat", "openai", "EUR", {
        "standard": [(0, "whole", {"input": "0", "output": "0", "second": "0.000213"})],
    }),
}
SERVICE_WORDS = {"standard": ["default", None], "batch": ["batch"], "flex": ["flex"], "priority": ["priority"]}


def used(rng, model, kind):
    """What a call used, by class. Classes are the provider's truth, whether priced apart or not."""
    use = dict.fromkeys(CLASSES, 0)
    size = rng.choice([40, 900, 30_000, 150_000, 260_000])
    use["request"] = 1
    if model == "by-image":
        use["image"] = rng.randint(1, 10)
        return use
    use["input"] = rng.randint(0, size)
    if kind == "embedding":
        return use
    use["output"] = rng.randint(0, 9_000)
    if model in ("cached", "long", "graded", "hidden", "hits", "letters", "responses", "plain", "local"):
        use["cache_read"] = rng.choice([0, rng.randint(0, size)])
    if model == "letters":
        use["cache_write_5m"] = rng.choice([0, rng.randint(0, size)])
        use["cache_write_1h"] = rng.choice([0, rng.randint(0, size)])
        use["search"] = rng.choice([0, 0, rng.randint(1, 5)])
    if model in ("cached", "thinker", "hidden", "responses"):
        use["reasoning"] = rng.randint(0, 40_000)
    if model == "speaker":
        use["audio_in"], use["audio_out"] = rng.randint(0, 5_000), rng.randint(0, 5_000)
    if model == "painter":
        use["image_in"], use["image_out"], use["output"] = rng.randint(0, 3_000), rng.randint(1, 6_000), 0
    if model == "local":
        use["second"] = D(rng.randint(1, 90_000)) / 1000
    return use


def rate(prices, name):
    """The price of a class; unpriced tokens are input or output tokens like any other."""
    if name in prices:
        return D(prices[name])
    if name in ONE:
        return D(0)
    return D(prices.get("input" if name in INPUT else "output", "0"))


def bill(tiers, use):
    total = D(0)
    length = sum(use[name] for name in INPUT)
    reached = [tier for tier in tiers if tier[0] == 0 or length > tier[0]]
    graded = reached[-1][1] == "part"
    for name in CLASSES:
        if graded and name in INPUT:
            continue
        prices = (reached[0] if graded else reached[-1])[2]
        total += D(use[name]) * rate(prices, name) / (1 if name in ONE else MILLION)
    if graded:
        tokens = [name for name in INPUT for _ in range(use[name])]
        for index, (above, _, prices) in enumerate(tiers):
            end = tiers[index + 1][0] if index + 1 < len(tiers) else len(tokens)
            for name in INPUT:
                total += D(tokens[above:end].count(name)) * rate(prices, name) / MILLION
    return total


def answer(rng, dialect, use, word):
    """The call as the provider tells it."""
    whole = sum(use[name] for name in INPUT)
    shown = use["output"] + use["audio_out"] + use["image_out"]
    out = shown + use["reasoning"]
    tier = {} if word is None else {"service_tier": word}
    body = {"id": f"call-{rng.randrange(10**9)}", "model": "m"}
    if dialect == "openai":
        usage = {"prompt_tokens": whole, "completion_tokens": out, "total_tokens": whole + out}
        if use["cache_read"] or use["audio_in"] or rng.random() < 0.5:
            usage["prompt_tokens_details"] = {"cached_tokens": use["cache_read"], "audio_tokens": use["audio_in"]}
        if use["reasoning"] or use["audio_out"] or rng.random() < 0.5:
            usage["completion_tokens_details"] = {
                "reasoning_tokens": use["reasoning"], "audio_tokens": use["audio_out"],
                "accepted_prediction_tokens": 0,
            }
        body |= {"object": "chat.completion", "choices": [], "usage": usage} | tier
    elif dialect == "hidden":
        usage = {"prompt_tokens": whole, "completion_tokens": shown, "total_tokens": whole + out}
        usage["prompt_tokens_details"] = {"cached_tokens": use["cache_read"]}
        body |= {"choices": [], "usage": usage}
    elif dialect == "deepseek":
        hit = use["cache_read"]
        body |= {"choices": [], "usage": {
            "prompt_tokens": whole, "completion_tokens": out, "total_tokens": whole + out,
            "prompt_cache_hit_tokens": hit, "prompt_cache_miss_tokens": whole - hit,
        }}
    elif dialect == "messages":
        written = {"ephemeral_5m_input_tokens": use["cache_write_5m"], "ephemeral_1h_input_tokens": use["cache_write_1h"]}
        body |= {"type": "message", "content": [], "usage": {
            "input_tokens": use["input"], "cache_read_input_tokens": use["cache_read"],
            "cache_creation_input_tokens": sum(written.values()), "cache_creation": written,
            "output_tokens": out, "server_tool_use": {"web_search_requests": use["search"]},
            "service_tier": word or "standard",
        }}
    elif dialect == "responses":
        usage = {"input_tokens": whole, "output_tokens": out, "total_tokens": whole + out}
        usage["input_tokens_details"] = {"cached_tokens": use["cache_read"], "image_tokens": use["image_in"]}
        usage["output_tokens_details"] = {"reasoning_tokens": use["reasoning"], "image_tokens": use["image_out"]}
        body |= {"object": "response", "output": [], "usage": usage} | tier
    elif dialect == "embeddings":
        usage = rng.choice([{"prompt_tokens": whole, "total_tokens": whole}, {"total_tokens": whole}])
        body |= {"object": "list", "data": [], "usage": usage} | tier
    return body


def table(name, head, rows):
    with open(HERE / name, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


def tables():
    source = ["https://example.com/prices", "", "2026-11-22"]
    head = "provider,model,aliases,kind,context_tokens,output_tokens_max,image_tokens_max,capabilities,retires,source,via,dated"
    table("models.csv", head.split(","), [
        ["test", model, "", kind, "", "", "", "", "", *source] for model, (kind, _, _, _) in PRICES.items()
    ])
    head = ["provider", "model", "region", "service", "above", "span", "currency", *CLASSES, "from", "to", "source", "via", "dated"]
    table("prices.csv", head, [
        ["test", model, "", service, above, span, currency, *(prices.get(name, "") for name in CLASSES), "", "", *source]
        for model, (_, _, currency, services) in PRICES.items()
        for service, tiers in services.items()
        for above, span, prices in tiers
    ])


def calls():
    rng = random.Random(SEED)
    totals = {"EUR": D(0), "USD": D(0)}
    for index in range(CALLS):
        model = list(PRICES)[index % len(PRICES)]
        kind, dialect, currency, services = PRICES[model]
        service = rng.choice(list(services))
        use = used(rng, model, kind)
        cost = bill(services[service], use)
        totals[currency] += cost
        yield {
            "model": model, "dialect": "messages" if dialect == "messages" else "embeddings" if dialect == "embeddings" else "openai",
            "body": answer(rng, dialect, use, rng.choice(SERVICE_WORDS[service])),
            "images": use["image"], "milliseconds": int(D(use["second"]) * 1000),
            "cost": f"{cost:f}", "micros": int((cost * MILLION).quantize(D(1), ROUND_HALF_EVEN)), "currency": currency,
        }
    pico = D("1e-12")
    rate_text, source, factor = RATE
    converted = (totals[source] * factor).quantize(pico, ROUND_CEILING)
    yield {
        "totals": {name: f"{total:f}" for name, total in totals.items()},
        "rate": rate_text, "all": f"{totals['USD'] + converted:f}",
    }


if __name__ == "__main__":
    tables()
    with open(HERE / "calls.jsonl", "w") as file:
        for call in calls():
            file.write(json.dumps(call, separators=(",", ":")) + "\n")
