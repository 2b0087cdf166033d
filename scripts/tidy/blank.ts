/**
 * A scanner just clever enough to tell code from comments and from the insides of strings and regular expressions.
 * Both results have the length and the line breaks of the input, so an offset in one is an offset in the other.
 */
export interface Blanked {
  /** Comments, strings, templates' text and regular expressions are spaces; quotes stay. */
  readonly code: string;
  /** Only what stands in comments; the rest is spaces. */
  readonly comments: string;
}

/** After one of these a slash begins a regular expression, not a division. */
const BEFORE_REGEX = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|do|else|await|yield|throw|new|void))$/;

export function blank(text: string): Blanked {
  const code = [...text.replace(/[^\n]/g, ' ')];
  const comments = [...code];
  // `text` may hold surrogate pairs; both arrays are indexed by code unit because each unit became one space.
  const templates: number[] = [];
  let depth = 0;
  let significant = '';
  let i = 0;

  const keep = (): void => {
    code[i] = text[i] as string;
    if (!/\s/.test(text[i] as string)) significant = (significant + text[i]).slice(-12);
    else if (!significant.endsWith(' ')) significant += ' ';
    i++;
  };
  const comment = (end: number): void => {
    for (; i < end; i++) comments[i] = text[i] as string;
  };
  const string = (quote: string): void => {
    keep();
    while (i < text.length && text[i] !== quote && text[i] !== '\n') i += text[i] === '\\' ? 2 : 1;
    if (i < text.length) keep();
  };
  const template = (): void => {
    while (i < text.length && text[i] !== '`') {
      if (text[i] === '$' && text[i + 1] === '{') {
        templates.push(depth);
        i += 2;
        significant = '{';
        return;
      }
      i += text[i] === '\\' ? 2 : 1;
    }
    if (i < text.length) keep();
  };
  const regex = (): void => {
    let inClass = false;
    for (i++; i < text.length && text[i] !== '\n'; i++) {
      if (text[i] === '\\') i++;
      else if (text[i] === '[') inClass = true;
      else if (text[i] === ']') inClass = false;
      else if (text[i] === '/' && !inClass) break;
    }
    i++;
    significant = ')';
  };

  while (i < text.length) {
    const two = text.slice(i, i + 2);
    const one = text[i] as string;
    if (two === '//') comment(endOf(text, '\n', i, 0));
    else if (two === '/*') comment(endOf(text, '*/', i + 2, 2));
    else if (one === "'" || one === '"') string(one);
    else if (one === '`') {
      keep();
      template();
    } else if (one === '/' && BEFORE_REGEX.test(significant.trimEnd())) regex();
    else if (one === '}' && templates.at(-1) === depth) {
      templates.pop();
      i++;
      template();
    } else {
      if (one === '{') depth++;
      if (one === '}') depth--;
      keep();
    }
  }
  return { code: code.join(''), comments: comments.join('') };
}

/** The offset just behind the next `mark`, or the end of the text. */
function endOf(text: string, mark: string, from: number, length: number): number {
  const at = text.indexOf(mark, from);
  return at === -1 ? text.length : at + length;
}
