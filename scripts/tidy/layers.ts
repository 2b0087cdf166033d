/** Who may import whom. The one place where the direction of the arrows is written down for machines. */
import type { Finding, SourceFile, Tree } from './tree.ts';
import { resolveImport } from './tree.ts';

/**
 * Package → the packages that its sources may import. Siblings are absent from each other's lists on purpose; platform
 * knows databases and backends only through core's ports.
 */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  '@canopy/core': [],
  '@canopy/nats': ['core'],
  '@canopy/election': ['core', 'nats'],
  '@canopy/replication': ['core', 'nats'],
  '@canopy/sqlite': ['core', 'nats'],
  '@canopy/backends': ['core', 'nats'],
  '@canopy/platform': ['core', 'nats', 'election'],
  '@canopy/cli': ['core', 'nats', 'election', 'replication', 'sqlite', 'backends', 'platform'],
  '@canopy/testkit': ['core', 'nats'],
  '@canopy/example-ledger': [],
  '@canopy/example-library': ['core', 'nats', 'sqlite', 'backends', 'platform'],
  '@canopy/example-election-basic': ['core', 'nats', 'election'],
  '@canopy/example-election-fencing': ['core', 'nats', 'election'],
  '@canopy/example-control-manager': ['core', 'nats', 'election'],
  '@canopy/example-multi-role': ['core', 'nats', 'election'],
  '@canopy/example-shopping-cart': ['core', 'nats', 'replication'],
  '@canopy/e2e': [
    'core',
    'nats',
    'election',
    'replication',
    'sqlite',
    'backends',
    'platform',
    'cli',
    'testkit',
    'example-ledger',
  ],
  '@canopy/bench': [
    'core',
    'nats',
    'election',
    'replication',
    'sqlite',
    'backends',
    'platform',
    'cli',
    'testkit',
    'example-ledger',
    'e2e',
  ],
};

const SCOPE = '@canopy/';
const TESTKIT = '@canopy/testkit';
/** Whole packages that are tests themselves. */
const TEST_PACKAGES: ReadonlySet<string> = new Set(['@canopy/e2e', '@canopy/bench', TESTKIT]);

/** Arrows that run up or sideways, the testkit in shipped code, undeclared dependencies. */
export function layers(tree: Tree): Finding[] {
  const found = tree.sources.flatMap((file) => file.imports.flatMap((item) => judge(file, item)));
  for (const { name, folder, dependencies } of tree.packages) {
    if (!name.startsWith(SCOPE)) continue;
    const allowed = LAYERS[name]?.map((target) => SCOPE + target);
    const report = (message: string): void => {
      found.push(at(`${folder}/package.json`, 1, 'layer', message));
    };
    if (allowed === undefined) report(`${name} has no place in the table in scripts/tidy/layers.ts`);
    for (const target of dependencies)
      if (target.startsWith(SCOPE) && allowed?.includes(target) === false)
        report(`${name} may not depend on ${target}`);
  }
  return found;
}

/** Imports of what a package does not offer: another package's files, or a subpath that is not in its `exports`. */
export function deepImports(tree: Tree): Finding[] {
  return tree.sources.flatMap((file) =>
    file.imports.flatMap(({ specifier, line }) => {
      const target = resolveImport(file, specifier);
      if (target !== undefined) {
        const inside = file.owner === undefined || target.startsWith(`${file.owner.folder}/`);
        const foreign = inside ? undefined : `${specifier} leaves ${file.owner.name}`;
        return foreign === undefined ? [] : [at(file.path, line, 'deep-import', `${foreign}: import the package`)];
      }
      const owner = tree.packages.find(({ name }) => specifier === name || specifier.startsWith(`${name}/`));
      if (owner === undefined) return [];
      const door = `.${specifier.slice(owner.name.length)}`;
      if (owner.doors.includes(door)) return [];
      return [at(file.path, line, 'deep-import', `${owner.name} does not export "${door}"`)];
    }),
  );
}

function judge(file: SourceFile, { specifier, line }: { specifier: string; line: number }): Finding[] {
  if (!specifier.startsWith(SCOPE) || file.owner === undefined) return [];
  const target = specifier.split('/').slice(0, 2).join('/');
  const { name, dependencies, devDependencies } = file.owner;
  if (target === name) return [];
  if (target === TESTKIT && !file.isTest && !TEST_PACKAGES.has(name))
    return [at(file.path, line, 'testkit', `${TESTKIT} is for tests only`)];
  const allowed = target === TESTKIT ? name !== '@canopy/core' : LAYERS[name]?.includes(target.slice(SCOPE.length));
  if (!allowed) return [at(file.path, line, 'layer', `${name} may not import ${target}`)];
  if (dependencies.includes(target) || (file.isTest && devDependencies.includes(target))) return [];
  return [at(file.path, line, 'dependency', `${target} is not declared in ${file.owner.folder}/package.json`)];
}

function at(path: string, line: number, rule: string, message: string): Finding {
  return { path, line, rule, message };
}
