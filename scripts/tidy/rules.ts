/** All rules, and running them. */
import { calls } from './calls.ts';
import { cycles } from './cycles.ts';
import { errorCodes } from './error-codes.ts';
import { glossary } from './glossary.ts';
import { deepImports, layers } from './layers.ts';
import { leftovers } from './leftovers.ts';
import { names } from './names.ts';
import { sizes } from './sizes.ts';
import { type Finding, type Rule, readTree } from './tree.ts';

const RULES: readonly Rule[] = [layers, deepImports, cycles, calls, sizes, names, leftovers, errorCodes, glossary];

/** Everything that is not tidy under `root`, by path and line. */
export function findUntidy(root: string): Finding[] {
  const tree = readTree(root);
  return RULES.flatMap((rule) => rule(tree)).sort((a, b) =>
    a.path < b.path ? -1 : a.path > b.path ? 1 : a.line - b.line,
  );
}
