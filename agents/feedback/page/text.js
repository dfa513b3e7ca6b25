// Generated text is untrusted: it gets into the document as text nodes only, and what would be invisible or would
// reorder the line is shown by its name. Offsets are counted in code points, as the store counts them.

const NAMES = {
  0x061c: "ALM", 0x200b: "ZWSP", 0x200e: "LRM", 0x200f: "RLM", 0x2028: "LSEP", 0x2029: "PSEP", 0x202a: "LRE",
  0x202b: "RLE", 0x202c: "PDF", 0x202d: "LRO", 0x202e: "RLO", 0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI",
  0x2069: "PDI", 0xfeff: "BOM", 0x00ad: "SHY", 0x2060: "WJ",
};

/** The name of an invisible character, null for one that can be seen (or that is a newline, tab or space). */
export function controlName(code) {
  if (code === 0x0a || code === 0x09) return null;
  const hidden = code < 0x20 || code in NAMES || (code >= 0x7f && code < 0xa0) || (code >= 0xe0000 && code < 0xe1000)
    || (code >= 0x2061 && code <= 0x206f);
  return hidden ? `U+${code.toString(16).toUpperCase().padStart(4, "0")}${code in NAMES ? ` ${NAMES[code]}` : ""}` : null;
}

function* segments(text, granularity) {
  if (globalThis.Intl?.Segmenter) {
    for (const { segment } of new Intl.Segmenter(undefined, { granularity }).segment(text)) yield segment;
  } else {
    yield* text.match(granularity === "word" ? /\s+|[\p{L}\p{M}\p{N}_'’]+|[^]/gu : /[^]\p{M}*/gu) ?? [];
  }
}

/**
 * The pieces that are marked as one: {start, end, shown, control, space}.
 * A piece ends at every boundary too, so that what was marked by characters stays so among words.
 */
export function units(text, granularity, boundaries = new Set()) {
  const found = [];
  let at = 0;
  for (const segment of segments(text, granularity)) {
    let open = null;
    for (const character of segment) {
      const name = controlName(character.codePointAt(0));
      if (open === null || open.control || name !== null || boundaries.has(at)) {
        open = { start: at, end: at, shown: "", control: name !== null };
        found.push(open);
      }
      open.shown += name ?? character;
      open.end = ++at;
    }
  }
  for (const unit of found) unit.space = !unit.control && unit.shown.trim() === "";
  return found;
}

/** A piece as an element, whose content is text. Spaces at the edge of a text, which would be lost, are shown. */
export function element(unit, edge = false) {
  const span = document.createElement("span");
  const spaces = edge && unit.space;
  span.textContent = spaces ? unit.shown.replaceAll(" ", "␣").replaceAll("\t", "⇥").replaceAll("\n", "↵") : unit.shown;
  if (unit.control || spaces) span.className = "control";
  return span;
}

/** Replace what is in a container by a text. */
export function show(container, text, ifEmpty) {
  container.replaceChildren();
  container.classList.toggle("empty", text === "");
  if (text === "") {
    container.textContent = ifEmpty;
    return;
  }
  const pieces = units(text, "word");
  let plain = "";
  pieces.forEach((unit, i) => {
    const edge = i === 0 || i === pieces.length - 1;
    if (unit.control || (edge && unit.space)) {
      container.append(plain, element(unit, edge));
      plain = "";
    } else {
      plain += unit.shown;
    }
  });
  container.append(plain);
}
