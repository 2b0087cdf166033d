/**
 * Files stay small: a ratchet. The exceptions in sizes.json are files that were larger when the limit was made; they may
 * shrink and not grow, and leave the list when they fit.
 */
import type { Finding, Tree } from './tree.ts';

const LIMIT = 400;
const TEST_LIMIT = 600;
export const EXCEPTIONS = 'scripts/tidy/sizes.json';

export function sizes(tree: Tree): Finding[] {
  const exceptions = JSON.parse(tree.read(EXCEPTIONS) ?? '{}') as Readonly<Record<string, number>>;
  const found: Finding[] = [];
  for (const { path, text, isTest } of tree.sources) {
    const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
    const limit = isTest ? TEST_LIMIT : LIMIT;
    const recorded = exceptions[path];
    if (recorded !== undefined && lines <= limit)
      found.push({ path, line: 1, rule: 'size', message: `fits now: remove it from ${EXCEPTIONS}` });
    else if (recorded !== undefined && lines < recorded)
      found.push({ path, line: 1, rule: 'size', message: `has shrunk to ${lines}: lower its number in ${EXCEPTIONS}` });
    else if (lines > (recorded ?? limit))
      found.push({
        path,
        line: (recorded ?? limit) + 1,
        rule: 'size',
        message: `has ${lines} lines, ${recorded ?? limit} are allowed: split it along a seam`,
      });
  }
  for (const path of Object.keys(exceptions)) {
    if (tree.read(path) === undefined)
      found.push({ path: EXCEPTIONS, line: 1, rule: 'size', message: `${path} is listed and does not exist` });
  }
  return found;
}
