/** A small tidy repository in a temporary folder, into which a test plants what it wants to see found. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export class PlantedTree implements Disposable {
  readonly root: string;

  constructor(files: Readonly<Record<string, string>> = {}) {
    this.root = mkdtempSync(join(tmpdir(), 'tidy-'));
    for (const [path, text] of Object.entries({ ...CLEAN, ...files })) {
      mkdirSync(dirname(join(this.root, path)), { recursive: true });
      writeFileSync(join(this.root, path), text);
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true });
  }
}

function manifest(name: string, dependencies: readonly string[], devDependencies: readonly string[] = []): string {
  const versions = (names: readonly string[]): Record<string, string> =>
    Object.fromEntries(names.map((dependency) => [`@canopy/${dependency}`, '0.1.0']));
  return JSON.stringify({
    name: `@canopy/${name}`,
    exports: { '.': './src/index.ts', './testing': './src/testing/index.ts' },
    dependencies: versions(dependencies),
    devDependencies: versions(devDependencies),
  });
}

const CLEAN: Readonly<Record<string, string>> = {
  'packages/core/package.json': manifest('core', []),
  'packages/core/src/index.ts': "export { systemClock } from './system/clock.ts';\n",
  'packages/core/src/system/clock.ts': 'export const systemClock = { wall: () => Date.now() };\n',
  'packages/core/src/errors.ts': 'export const coreErrors = defineErrors({\n  CORE_BROKEN: { message: "x" },\n});\n',
  'packages/nats/package.json': manifest('nats', ['core'], ['testkit']),
  'packages/nats/src/index.ts': "import { systemClock } from '@canopy/core';\nexport const clock = systemClock;\n",
  'packages/nats/test/kv.test.ts': "import { start } from '@canopy/testkit';\nsetTimeout(start, 1);\n",
  'packages/election/package.json': manifest('election', ['core', 'nats']),
  'packages/sqlite/package.json': manifest('sqlite', ['core', 'nats']),
  'packages/testkit/package.json': manifest('testkit', ['core', 'nats']),
  'packages/cli/package.json': manifest('cli', ['core', 'sqlite', 'election']),
  'packages/cli/src/main.ts': "import { sqlite } from '@canopy/sqlite';\nconsole.log(process.env['HOME'], sqlite);\n",
  'docs/errors.md': '| `CORE_BROKEN` | x |\n',
};
