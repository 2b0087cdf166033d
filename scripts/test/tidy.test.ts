import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { findUntidy } from '../tidy/rules.ts';
import { PlantedTree } from './planted-tree.ts';

type Files = Readonly<Record<string, string>>;

/** What is found after planting, as `path:line rule`. */
function found(files: Files): string[] {
  using tree = new PlantedTree(files);
  return findUntidy(tree.root).map(({ path, line, rule }) => `${path}:${line} ${rule}`);
}

const NATS = 'packages/nats/src/planted.ts';
const lines = (count: number): string => 'export {};\n'.repeat(count);
// Written in pieces, so that this file itself is tidy.
const mark = ['TO', 'DO'].join('');

it('finds nothing in a tidy tree', () => expect(found({})).toEqual([]));

describe('finds', () => {
  it.each<[string, Files, string[]]>([
    ['an arrow that runs up', { [NATS]: "\nimport { x } from '@canopy/election';\n" }, [`${NATS}:2 layer`]],
    [
      'an arrow to a sibling',
      { 'packages/sqlite/src/a.ts': "import type { Lease } from '@canopy/election';\n" },
      ['packages/sqlite/src/a.ts:1 layer'],
    ],
    ['an arrow in an import() expression', { [NATS]: "await import('@canopy/sqlite');\n" }, [`${NATS}:1 layer`]],
    ['an arrow in a re-export', { [NATS]: "export {\n  x,\n} from '@canopy/cli';\n" }, [`${NATS}:3 layer`]],
    [
      'an arrow in a manifest',
      {
        'packages/sqlite/package.json':
          '{"name":"@canopy/sqlite","exports":{".":"."},"dependencies":{"@canopy/election":"0.1.0"}}',
      },
      ['packages/sqlite/package.json:1 layer'],
    ],
    [
      'a package without a place',
      { 'packages/new/package.json': '{"name":"@canopy/new"}' },
      ['packages/new/package.json:1 layer'],
    ],
    [
      'an undeclared dependency',
      { 'packages/cli/src/a.ts': "import { x } from '@canopy/nats';\n" },
      ['packages/cli/src/a.ts:1 dependency'],
    ],
    ['the testkit in sources', { [NATS]: "import { start } from '@canopy/testkit';\n" }, [`${NATS}:1 testkit`]],
    [
      'an import past the exports',
      { 'packages/nats/test/a.test.ts': "import { x } from '@canopy/core/src/system/clock.ts';\n" },
      ['packages/nats/test/a.test.ts:1 deep-import'],
    ],
    [
      'a relative import into another package',
      { [NATS]: "import { systemClock } from '../../core/src/index.ts';\n" },
      [`${NATS}:1 deep-import`],
    ],
    [
      'a cycle of files',
      {
        'packages/core/src/a.ts': "import { b } from './b.ts';\nexport const a = b;\n",
        'packages/core/src/b.ts': "import { c } from './c.ts';\nexport const b = c;\n",
        'packages/core/src/c.ts': "\n\nexport { a as c } from './a.ts';\n",
      },
      ['packages/core/src/c.ts:3 cycle'],
    ],
    [
      'a cycle of packages',
      { 'packages/core/src/a.ts': "import type { Kv } from '@canopy/nats';\n" },
      ['packages/core/src/a.ts:1 layer', 'packages/nats/src/index.ts:1 cycle'],
    ],
    ['a file that is too long', { [NATS]: lines(401) }, [`${NATS}:401 size`]],
    [
      'a test that is too long',
      { 'packages/nats/test/a.test.ts': lines(601) },
      ['packages/nats/test/a.test.ts:601 size'],
    ],
    [
      'an exception that grew',
      { [NATS]: lines(451), 'scripts/tidy/sizes.json': `{"${NATS}": 450}` },
      [`${NATS}:451 size`],
    ],
    [
      'an exception that shrank',
      { [NATS]: lines(449), 'scripts/tidy/sizes.json': `{"${NATS}": 450}` },
      [`${NATS}:1 size`],
    ],
    [
      'an exception that fits now',
      { [NATS]: lines(400), 'scripts/tidy/sizes.json': `{"${NATS}": 450}` },
      [`${NATS}:1 size`],
    ],
    [
      'an exception for a file that is gone',
      { 'scripts/tidy/sizes.json': `{"${NATS}": 450}` },
      ['scripts/tidy/sizes.json:1 size'],
    ],
    ['a file named for nothing', { 'packages/nats/src/kv/utils.ts': '' }, ['packages/nats/src/kv/utils.ts:1 name']],
    [
      'a folder named for nothing',
      { 'packages/nats/src/helpers/kv.ts': '' },
      ['packages/nats/src/helpers/kv.ts:1 name'],
    ],
    ['a name in camel case', { 'packages/nats/src/kvStore.ts': '' }, ['packages/nats/src/kvStore.ts:1 name']],
    ['an unfinished place', { [NATS]: `\n// ${mark}: later\n` }, [`${NATS}:2 leftover`]],
    ['an unfinished document', { 'docs/a.md': `# A\n\n${mark}\n` }, ['docs/a.md:3 leftover']],
    ['a hidden compiler error', { [NATS]: `// @ts-${'ignore'}\n` }, [`${NATS}:1 leftover`]],
    [
      'a test that leaves others out',
      { 'packages/nats/test/a.test.ts': `it.${'only'}('x', () => {});\n` },
      ['packages/nats/test/a.test.ts:1 leftover'],
    ],
    [
      'an undocumented error code',
      { 'packages/nats/src/kv/errors.ts': 'export const e = defineErrors({\n  KV_NEW: {\n    message: "" },\n});\n' },
      ['packages/nats/src/kv/errors.ts:2 error-code'],
    ],
    [
      'one error code of two packages',
      { 'packages/nats/src/errors.ts': 'export const e = defineErrors({ \n  CORE_BROKEN: { message: "" },\n});\n' },
      ['packages/nats/src/errors.ts:2 error-code'],
    ],
    [
      'a word that the glossary forbids',
      {
        'docs/glossary.md': '| Word | Meaning | Never |\n|---|---|---|\n| member | a node | `peer`, `instance` |\n',
        [NATS]: "const peers = lastPeer;\n// one instance\nconst pepper = 'peer';\n",
      },
      [`${NATS}:1 glossary`, `${NATS}:1 glossary`, `${NATS}:2 glossary`],
    ],
  ])('%s', (_, files, expected) => expect(found(files)).toEqual(expected));

  it.each([
    'Date.now()',
    'new Date()',
    'new Date',
    'performance.now()',
    'process.hrtime.bigint()',
    'setTimeout(() => {}, 1)',
    'globalThis.setInterval(() => {}, 1)',
    'setImmediate(() => {})',
    'AbortSignal.timeout(5)',
    'Math.random()',
    'console.log(1)',
    "process.env['HOME']",
    `\`at $${'{Date.now()}'}\``,
  ])('the banned call %s', (call) =>
    expect(found({ [NATS]: `export const planted = ${call};\n` })).toEqual([`${NATS}:1 call`]),
  );

  it('a timer that is imported under another name', () =>
    expect(found({ [NATS]: "import { setTimeout as sleep } from 'node:timers/promises';\n" })).toEqual([
      `${NATS}:1 call`,
    ]));
});

describe('lets pass', () => {
  it.each<[string, Files]>([
    ['arrows that run down', { 'packages/election/src/a.ts': "import { x } from '@canopy/nats/testing';\n" }],
    [
      'types of each other',
      {
        'packages/core/src/a.ts': "import type { B } from './b.ts';\nexport type A = B;\n",
        'packages/core/src/b.ts': "import { a } from './a.ts';\nexport type B = typeof a;\n",
      },
    ],
    [
      'imports in comments and strings',
      {
        [NATS]: "// import { x } from '@canopy/cli';\nexport const text = \"import { x } from '@canopy/cli'\";\n",
      },
    ],
    [
      'calls in comments, strings and expressions',
      {
        [NATS]: "/* Date.now() */ const a = 'console.log()', b = `setTimeout`, c = /Math.random\\(/, d = 4 / 2 / 1;\n",
      },
    ],
    [
      'dates of given times, and other objects with like names',
      {
        [NATS]: 'export const x = [new Date(5), socket.setTimeout(5), my.console.log, at.Date.nowhere];\n',
      },
    ],
    [
      'banned calls at the edges',
      {
        'packages/nats/src/server/environment.ts': 'export const path = process.env;\n',
        'packages/election/src/warden/main.ts': 'setTimeout(() => {}, process.env.LENGTH);\n',
        'e2e/src/demo.ts': 'console.log(Date.now());\n',
      },
    ],
    [
      'files of just the size that is allowed',
      {
        [NATS]: lines(400),
        'packages/nats/test/a.test.ts': lines(600),
      },
    ],
    ['an exception that kept its size', { [NATS]: lines(450), 'scripts/tidy/sizes.json': `{"${NATS}": 450}` }],
    [
      'documented codes',
      {
        'packages/nats/src/errors.ts': 'export const e = defineErrors({\n  KV_NEW: { message: "" },\n});\n',
        'docs/errors.md': '`CORE_BROKEN` `KV_NEW`',
      },
    ],
    [
      'words of a glossary without a column of forbidden ones',
      {
        'docs/glossary.md': '| Word | Not |\n|---|---|\n| member | `peer` |\n',
        [NATS]: 'export const peer = 1;\n',
      },
    ],
  ])('%s', (_, files) => expect(found(files)).toEqual([]));
});

describe('the script', () => {
  const script = fileURLToPath(new URL('../tidy.ts', import.meta.url));
  const run = (files: Files): { status: number | null; stdout: string } => {
    using tree = new PlantedTree(files);
    return spawnSync(process.execPath, [script, tree.root], { encoding: 'utf8' });
  };

  it('is silent and succeeds on a tidy tree', () => expect(run({})).toMatchObject({ status: 0, stdout: '' }));

  it('prints path, line, rule and message, and fails', () => {
    const { status, stdout } = run({ [NATS]: '\nconsole.log(1);\n' });
    expect(status).toBe(1);
    expect(stdout).toBe(`${NATS}:2 call console. is banned here; use env.log\n1 not tidy\n`);
  });
});
