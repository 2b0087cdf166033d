/** Runs one part as a child process with a bound on its time; its output goes straight through. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PartOutcome, TestCounts } from './outcome.ts';
import type { Part } from './parts.ts';

export interface RunContext {
  readonly root: string;
  /** What the children see beside this process's environment. */
  readonly variables: Readonly<Record<string, string>>;
}

export async function runPart(part: Part, context: RunContext): Promise<PartOutcome> {
  const started = performance.now();
  const folder = mkdtempSync(join(tmpdir(), 'gate-'));
  const report = join(folder, 'report.json');
  try {
    const ended = await execute(part, { ...context.variables, GATE_REPORT: report }, context.root);
    const tests = part.isVitest ? readReport(report) : undefined;
    const ms = performance.now() - started;
    const failure = ended ?? (part.isVitest && tests === undefined ? 'it left no report' : undefined);
    if (failure !== undefined) return { part: part.name, verdict: 'failed', reason: failure, ms, tests };
    if (tests !== undefined && tests.passed + tests.failed.length + tests.skipped.length === 0)
      return { part: part.name, verdict: 'skipped', reason: 'it has no tests', ms, tests };
    return { part: part.name, verdict: 'passed', reason: undefined, ms, tests };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Resolves to what went wrong, or undefined. */
function execute(part: Part, variables: Readonly<Record<string, string>>, root: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    // A group of its own, so that whatever the part has started can be ended with it.
    const child = spawn(process.execPath, [...part.command], {
      cwd: root,
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, ...variables, PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH ?? ''}` },
    });
    const end = (signal: NodeJS.Signals): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, signal);
      } catch {
        // It has ended meanwhile.
      }
    };
    const interrupt = (): void => end('SIGINT');
    const terminate = (): void => end('SIGTERM');
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      end('SIGKILL');
    }, part.timeoutMs);
    process.on('SIGINT', interrupt);
    process.on('SIGTERM', terminate);
    const done = (problem: string | undefined): void => {
      clearTimeout(timer);
      process.off('SIGINT', interrupt);
      process.off('SIGTERM', terminate);
      resolve(problem);
    };
    child.on('error', (error) => done(error.message));
    child.on('exit', (code, signal) => {
      if (late) done(`it took longer than ${part.timeoutMs / 1000} s`);
      else done(code === 0 ? undefined : `it ended with ${signal ?? `exit code ${code}`}`);
    });
  });
}

function readReport(file: string): TestCounts | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as TestCounts;
  } catch {
    return undefined;
  }
}
