/** Every error code that a package declares is explained in docs/errors.md, and no two packages share one. */
import { type Finding, lineAt, type Tree } from './tree.ts';

const DOCUMENT = 'docs/errors.md';

export function errorCodes(tree: Tree): Finding[] {
  const documented = new Set((tree.read(DOCUMENT) ?? '').match(/\b[A-Z][A-Z0-9_]+\b/g) ?? []);
  const owners = new Map<string, string>();
  const found: Finding[] = [];
  for (const { path, code } of tree.sources) {
    if (!/^packages\/[^/]+\/src\/(.+\/)?errors\.ts$/.test(path)) continue;
    for (const match of code.matchAll(/^\s*([A-Z][A-Z0-9_]+):\s*\{/gm)) {
      const name = match[1] as string;
      const report = (message: string): void => {
        found.push({ path, line: lineAt(code, match.index + match[0].indexOf(name)), rule: 'error-code', message });
      };
      if (!documented.has(name)) report(`${name} is not in ${DOCUMENT}: run node scripts/errors.ts`);
      const owner = owners.get(name);
      if (owner !== undefined) report(`${name} is declared in ${owner} already`);
      owners.set(name, path);
    }
  }
  return found;
}
