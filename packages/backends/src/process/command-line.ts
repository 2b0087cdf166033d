/**
 * Splits a command given as one text into words, as a shell would without any of its powers: blanks separate, single
 * and double quotes and backslashes keep together. Anything that would need a shell is refused rather than guessed.
 */
export type CommandWords = { readonly words: readonly string[] } | { readonly problem: string };

const SHELL_ONLY = /[|&;<>()$`*?[\]#~!{}]/;

export function splitCommand(text: string): CommandWords {
  const words: string[] = [];
  let word: string | undefined;
  let quote: '"' | "'" | undefined;
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string;
    if (quote !== undefined) {
      if (char === quote) quote = undefined;
      else if (quote === '"' && char === '\\' && /["\\]/.test(text[i + 1] ?? '')) word += text[++i] as string;
      else word += char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (char === '\\' && i + 1 < text.length) word = (word ?? '') + (text[++i] as string);
    else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (SHELL_ONLY.test(char)) {
      return { problem: `contains ${char}, which needs a shell: quote it, or give ["sh", "-c", "…"]` };
    } else word = (word ?? '') + char;
  }
  if (quote !== undefined) return { problem: `has a ${quote} that is never closed` };
  if (word !== undefined) words.push(word);
  return words.length === 0 ? { problem: 'is empty' } : { words };
}
