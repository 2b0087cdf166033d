/** A file is named for its one idea, in kebab-case. Names that say nothing gather everything. */
import type { Finding, Tree } from './tree.ts';

const SAYS_NOTHING: ReadonlySet<string> = new Set([
  'util',
  'utils',
  'helper',
  'helpers',
  'common',
  'misc',
  'type',
  'types',
  'stuff',
]);
const KEBAB = /^\.?[a-z0-9]+(-[a-z0-9]+)*(\.[a-z]+)+$/;

export function names(tree: Tree): Finding[] {
  return tree.sources.flatMap(({ path }) => {
    const parts = path.split('/');
    const file = parts.at(-1) as string;
    const stems = [...parts.slice(0, -1), file.replace(/\..*$/, '')];
    const empty = stems.find((stem) => SAYS_NOTHING.has(stem));
    const finding = (message: string): Finding => ({ path, line: 1, rule: 'name', message });
    return [
      ...(empty === undefined ? [] : [finding(`"${empty}" names no idea`)]),
      ...(KEBAB.test(file) ? [] : [finding('file names are kebab-case')]),
    ];
  });
}
