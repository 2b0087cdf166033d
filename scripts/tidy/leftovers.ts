/** What is left unfinished or was left in by mistake. The marks are written in pieces so that this file has none. */
import { type Finding, lineAt, type Tree } from './tree.ts';

const MARKS = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK'].join('|')})\\b`, 'g');
const SUPPRESSED = new RegExp(`@ts-(?:ig${'nore'}|no${'check'}|expect-er${'ror'})`, 'g');
const ONLY = /\b(?:describe|it|test|suite)\s*\.\s*(?:only|todo)\b/g;
const DEBUGGER = /(?<![\w$.])debugger\s*;/g;

export function leftovers(tree: Tree): Finding[] {
  const inSources = tree.sources.flatMap(({ path, text, code, comments }) => [
    ...find(path, text, MARKS, (mark) => `a ${mark} mark: finish it, or say it in the change's note`),
    ...find(path, comments, SUPPRESSED, (mark) => `${mark} hides an error from the compiler`),
    ...find(path, code, ONLY, (call) => `${call} leaves other tests out`),
    ...find(path, code, DEBUGGER, () => 'a breakpoint'),
  ]);
  const inDocuments = tree.documents.flatMap((path) =>
    find(path, tree.read(path) ?? '', MARKS, (mark) => `a ${mark} mark in a document`),
  );
  return [...inSources, ...inDocuments];
}

function find(path: string, text: string, pattern: RegExp, message: (match: string) => string): Finding[] {
  return [...text.matchAll(pattern)].map((match) => ({
    path,
    line: lineAt(text, match.index),
    rule: 'leftover',
    message: message(match[0]),
  }));
}
