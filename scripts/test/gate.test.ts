import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type PartOutcome, summarise, type TestCounts } from '../gate/outcome.ts';
import { listParts, type Part, selectParts } from '../gate/parts.ts';
import { runPart } from '../gate/run-part.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const outcome = (part: string, rest: Partial<PartOutcome> = {}): PartOutcome => ({
  part,
  verdict: 'passed',
  reason: undefined,
  ms: 1500,
  tests: undefined,
  ...rest,
});
const tests = (passed: number, rest: Partial<TestCounts> = {}): TestCounts => ({
  passed,
  failed: [],
  skipped: [],
  ...rest,
});
const lastLine = (text: string): string | undefined => text.split('\n').at(-1);

describe('the summary', () => {
  it('counts tests and parts, and ends with one line', () => {
    const { text, exitCode } = summarise([
      outcome('types'),
      outcome('unit', { tests: tests(5, { skipped: [{ name: 'a > b', reason: 'no procfs' }] }) }),
      outcome('crash', { verdict: 'skipped', reason: 'not there' }),
    ]);
    expect(lastLine(text)).toBe('7 passed, 0 failed, 2 skipped');
    expect(text).toContain('skipped  a > b: no procfs');
    expect(text).toContain('not there');
    expect(exitCode).toBe(0);
  });

  it('names what failed, and fails', () => {
    const { text, exitCode } = summarise([
      outcome('unit', {
        verdict: 'failed',
        reason: 'it ended with exit code 1',
        tests: tests(5, { failed: ['a > c'] }),
      }),
    ]);
    expect(text).toContain('failed   a > c');
    expect(lastLine(text)).toBe('5 passed, 2 failed, 0 skipped');
    expect(exitCode).toBe(1);
  });

  it.each<[string, PartOutcome[]]>([
    ['nothing was selected', []],
    ['all was skipped', [outcome('crash', { verdict: 'skipped' })]],
    ['no test was run by a part that has tests', [outcome('types'), outcome('unit', { tests: tests(0) })]],
    ['every test was skipped', [outcome('unit', { tests: tests(0, { skipped: [{ name: 'a', reason: 'b' }] }) })]],
  ])('fails when %s', (_, outcomes) => {
    const { text, exitCode } = summarise(outcomes);
    expect(text).toContain('no test was executed');
    expect(exitCode).toBe(1);
  });
});

describe('the parts', () => {
  const names = (only?: string): string[] => selectParts(listParts(ROOT), only).map((part) => part.name);

  it('keep their order, whatever the selection says', () => {
    expect(names()).toEqual([
      'types',
      'lint',
      'tidy',
      'errors',
      'unit',
      'sim',
      'integration',
      'crash',
      'crash-database',
    ]);
    expect(names('unit,tidy')).toEqual(['tidy', 'unit']);
    expect(names('unit,check')).toEqual(['types', 'lint', 'tidy', 'errors', 'unit']);
  });

  it('have to exist', () => expect(() => names('unti')).toThrow('"unti" is no part of the tests; there are check, '));
});

describe('a part', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'gate-test-'));
    symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const program = (code: string, rest: Partial<Part> = {}): Part => ({
    name: 'planted',
    command: ['--eval', code],
    isVitest: false,
    needsServer: false,
    timeoutMs: 60_000,
    skip: undefined,
    ...rest,
  });
  const run = (part: Part): Promise<PartOutcome> => runPart(part, { root, variables: { PLANTED: 'yes' } });

  it('passes with exit code 0, and sees the variables', async () =>
    expect(await run(program('process.exit(process.env.PLANTED === "yes" ? 0 : 1)'))).toMatchObject({
      verdict: 'passed',
    }));

  it('fails with another exit code, a signal, or no report', async () => {
    expect(await run(program('process.exit(3)'))).toMatchObject({
      verdict: 'failed',
      reason: 'it ended with exit code 3',
    });
    expect(await run(program('process.kill(process.pid, "SIGKILL")'))).toMatchObject({
      reason: 'it ended with SIGKILL',
    });
    expect(await run(program('', { isVitest: true }))).toMatchObject({
      verdict: 'failed',
      reason: 'it left no report',
    });
  });

  it('that hangs is ended with everything it has started', async () => {
    const pidFile = join(root, 'pid');
    const code = `const child = require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
      require('node:fs').writeFileSync(${JSON.stringify(pidFile)}, String(child.pid)); setInterval(() => {}, 1000);`;
    expect(await run(program(code, { timeoutMs: 1000 }))).toMatchObject({
      verdict: 'failed',
      reason: 'it took longer than 1 s',
    });
    const pid = Number(readFileSync(pidFile, 'utf8'));
    await expect.poll(() => isAlive(pid)).toBe(false);
  });

  it('of vitest is counted test by test, with reasons and files that can not be loaded', async () => {
    writeFileSync(join(root, 'package.json'), '{"type":"module"}');
    writeFileSync(
      join(root, 'a.test.js'),
      `import { describe, expect, it } from 'vitest';
       it('holds', () => {});
       it('breaks', () => expect(1).toBe(2));
       let tries = 0;
       it('wavers', { retry: 1 }, () => expect(++tries).toBe(2));
       describe('here', () => { it('can not run', ({ skip }) => skip('no such machine')); it.skip('is left out', () => {}); });`,
    );
    writeFileSync(join(root, 'b.test.js'), "import './missing.js';\n");
    const reporter = join(ROOT, 'scripts/gate/reporter.ts');
    const command = ['node_modules/vitest/vitest.mjs', 'run', '--root', root, '--reporter', reporter];
    expect(await run(program('', { command, isVitest: true }))).toMatchObject({
      verdict: 'failed',
      tests: {
        passed: 2,
        repeated: ['a.test.js > wavers'],
        failed: ['a.test.js > breaks', 'b.test.js (outside of its tests)'],
        skipped: [
          { name: 'a.test.js > here > can not run', reason: 'no such machine' },
          { name: 'a.test.js > here > is left out', reason: 'no reason given' },
        ],
      },
    });
  });
});

it('the command refuses a part that is none', () => {
  const script = join(ROOT, 'scripts/test.ts');
  const { status, stderr } = spawnSync(process.execPath, [script, '--only', 'all'], { encoding: 'utf8' });
  expect(stderr).toContain('"all" is no part of the tests');
  expect(status).toBe(64);
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A zombie that nobody has reaped yet is gone all the same.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
