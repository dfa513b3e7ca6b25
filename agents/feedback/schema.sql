-- A feedback store, version 1. What people said is in prompts, texts, annotators, judgements and spans: append-only.
-- tallies, counts and standing are derived from them by the triggers below, so that the next item is found by an index.

CREATE TABLE prompts (
    id INTEGER PRIMARY KEY,
    task TEXT NOT NULL,
    prompt TEXT NOT NULL,
    UNIQUE (task, prompt)
);

CREATE TABLE texts (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE, -- of task, prompt, text, policy, seed: the same text is added once
    prompt_id INTEGER NOT NULL REFERENCES prompts (id),
    text TEXT NOT NULL,
    policy TEXT NOT NULL,
    seed INTEGER,
    score REAL, -- the task's true score, where it is known; never shown
    added TEXT NOT NULL
);

CREATE TABLE annotators (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE judgements (
    id INTEGER PRIMARY KEY,
    submission TEXT NOT NULL UNIQUE, -- made by the client: what is sent twice is kept once
    kind TEXT NOT NULL,
    annotator_id INTEGER NOT NULL REFERENCES annotators (id),
    a INTEGER REFERENCES texts (id),
    b INTEGER REFERENCES texts (id),
    choice TEXT CHECK (choice IN ('a', 'b', 'tie', 'both_bad')),
    rating INTEGER CHECK (rating BETWEEN 1 AND 5),
    first TEXT CHECK (first IN ('a', 'b')), -- which of the two was shown first
    seconds REAL CHECK (seconds >= 0),
    time TEXT NOT NULL,
    page TEXT NOT NULL, -- version of the page it was given on
    withdraws INTEGER UNIQUE REFERENCES judgements (id), -- undone, or replaced by this row
    CHECK (
        CASE kind
            WHEN 'comparison' THEN a < b AND choice IS NOT NULL AND rating IS NULL
            WHEN 'rating' THEN a IS NOT NULL AND b IS NULL AND rating IS NOT NULL AND choice IS NULL
            WHEN 'marks' THEN a IS NOT NULL AND b IS NULL AND rating IS NULL AND choice IS NULL
            WHEN 'undo' THEN a IS NULL AND b IS NULL AND withdraws IS NOT NULL
            ELSE 0
        END
    )
);

CREATE TABLE spans (
    judgement_id INTEGER NOT NULL REFERENCES judgements (id),
    start INTEGER NOT NULL CHECK (start >= 0), -- code points, from 0
    "end" INTEGER NOT NULL CHECK ("end" > start), -- the first one after the span
    label TEXT NOT NULL CHECK (label IN ('good', 'bad')),
    PRIMARY KEY (judgement_id, start)
) WITHOUT ROWID;

-- how many standing judgements of a kind a text has
CREATE TABLE tallies (
    kind TEXT NOT NULL,
    text_id INTEGER NOT NULL REFERENCES texts (id),
    prompt_id INTEGER NOT NULL REFERENCES prompts (id),
    judgements INTEGER NOT NULL,
    PRIMARY KEY (kind, text_id)
) WITHOUT ROWID;

CREATE INDEX tallies_fewest ON tallies (kind, judgements, text_id, prompt_id);
CREATE INDEX tallies_fewest_of_a_prompt ON tallies (prompt_id, kind, judgements, text_id);

-- how many judgements of a kind an annotator has that stand
CREATE TABLE counts (
    annotator_id INTEGER NOT NULL REFERENCES annotators (id),
    kind TEXT NOT NULL,
    judgements INTEGER NOT NULL,
    PRIMARY KEY (annotator_id, kind)
) WITHOUT ROWID;

-- the judgement of an annotator that stands for an item: a pair low < high, or one text, low = high
CREATE TABLE standing (
    annotator_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL,
    judgement_id INTEGER NOT NULL UNIQUE REFERENCES judgements (id),
    PRIMARY KEY (annotator_id, kind, low, high)
) WITHOUT ROWID;

CREATE INDEX standing_latest ON standing (annotator_id, judgement_id);
CREATE INDEX standing_kind ON standing (kind, judgement_id);

CREATE TRIGGER text_added AFTER INSERT ON texts BEGIN
    INSERT INTO tallies (kind, text_id, prompt_id, judgements) VALUES
        ('comparison', new.id, new.prompt_id, 0), ('rating', new.id, new.prompt_id, 0), ('marks', new.id, new.prompt_id, 0);
END;

-- one trigger, since the order of several is not defined: what is replaced goes before what replaces it comes
CREATE TRIGGER judgement_given AFTER INSERT ON judgements BEGIN
    UPDATE tallies SET judgements = judgements - 1
        WHERE kind = (SELECT kind FROM judgements WHERE id = new.withdraws) AND text_id IN (
            SELECT a FROM judgements WHERE id = new.withdraws UNION ALL SELECT b FROM judgements WHERE id = new.withdraws
        );
    UPDATE counts SET judgements = judgements - 1
        WHERE (annotator_id, kind) = (SELECT annotator_id, kind FROM judgements WHERE id = new.withdraws);
    DELETE FROM standing WHERE judgement_id = new.withdraws;
    UPDATE tallies SET judgements = judgements + 1 WHERE kind = new.kind AND text_id IN (new.a, new.b);
    INSERT INTO standing (annotator_id, kind, low, high, judgement_id)
        SELECT new.annotator_id, new.kind, new.a, coalesce(new.b, new.a), new.id
        WHERE new.kind <> 'undo';
    INSERT INTO counts (annotator_id, kind, judgements) SELECT new.annotator_id, new.kind, 1 WHERE new.kind <> 'undo'
        ON CONFLICT (annotator_id, kind) DO UPDATE SET judgements = judgements + 1;
END;

CREATE TRIGGER prompts_stay BEFORE UPDATE ON prompts BEGIN
    SELECT raise(ABORT, 'prompts are append-only');
END;

CREATE TRIGGER prompts_are_kept BEFORE DELETE ON prompts BEGIN
    SELECT raise(ABORT, 'prompts are append-only');
END;

CREATE TRIGGER texts_stay BEFORE UPDATE ON texts BEGIN
    SELECT raise(ABORT, 'texts are append-only');
END;

CREATE TRIGGER texts_are_kept BEFORE DELETE ON texts BEGIN
    SELECT raise(ABORT, 'texts are append-only');
END;

CREATE TRIGGER annotators_stay BEFORE UPDATE ON annotators BEGIN
    SELECT raise(ABORT, 'annotators are append-only');
END;

CREATE TRIGGER annotators_are_kept BEFORE DELETE ON annotators BEGIN
    SELECT raise(ABORT, 'annotators are append-only');
END;

CREATE TRIGGER judgements_stay BEFORE UPDATE ON judgements BEGIN
    SELECT raise(ABORT, 'judgements are append-only');
END;

CREATE TRIGGER judgements_are_kept BEFORE DELETE ON judgements BEGIN
    SELECT raise(ABORT, 'judgements are append-only');
END;

CREATE TRIGGER spans_stay BEFORE UPDATE ON spans BEGIN
    SELECT raise(ABORT, 'spans are append-only');
END;

CREATE TRIGGER spans_are_kept BEFORE DELETE ON spans BEGIN
    SELECT raise(ABORT, 'spans are append-only');
END;
