/**
 * One word per idea. Where a table of docs/glossary.md has a column headed "Never", the words in backticks there may not
 * appear in the names and comments of the packages' sources (strings are the wire's and the user's business).
 */
import { type Finding, lineAt, type SourceFile, type Tree } from './tree.ts';

const DOCUMENT = 'docs/glossary.md';

export function glossary(tree: Tree): Finding[] {
  const forbidden = forbiddenWords(tree.read(DOCUMENT) ?? '');
  if (forbidden.length === 0) return [];
  const sources = tree.sources.filter(({ path }) => /^packages\/[^/]+\/src\//.test(path));
  return forbidden.flatMap(({ word, instead }) => sources.flatMap((file) => uses(file, word, instead)));
}

function uses(file: SourceFile, word: string, instead: string): Finding[] {
  const escaped = word.replace(/[^\w\s]/g, '\\$&');
  // A part of a camelCase name counts: `peer` is found in `peerCount` and `lastPeer`, not in `pepper`.
  const capital = escaped.charAt(0).toUpperCase() + escaped.slice(1);
  const pattern = new RegExp(`\\b${escaped}(?=[A-Z_]|s?\\b)|(?<=[a-z_])${capital}(?=[A-Z_]|s?\\b)`, 'g');
  return [file.code, file.comments].flatMap((text) =>
    [...text.matchAll(pattern)].map((match) => ({
      path: file.path,
      line: lineAt(text, match.index),
      rule: 'glossary',
      message: `"${match[0]}" is not our word; the glossary says ${instead}`,
    })),
  );
}

/** The words of every "Never" column with the first cell of their row. */
function forbiddenWords(text: string): { word: string; instead: string }[] {
  let column = -1;
  const found: { word: string; instead: string }[] = [];
  for (const line of text.split('\n')) {
    if (!line.startsWith('|')) {
      column = -1;
      continue;
    }
    const cells = line
      .slice(1, line.lastIndexOf('|'))
      .split('|')
      .map((cell) => cell.trim());
    if (cells.some((cell) => /^never$/i.test(cell))) column = cells.findIndex((cell) => /^never$/i.test(cell));
    else if (column !== -1)
      for (const match of (cells[column] ?? '').matchAll(/`([^`]+)`/g))
        found.push({ word: match[1] as string, instead: cells[0] as string });
  }
  return found;
}
