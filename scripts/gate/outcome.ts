/** What a part of the gate found, and what all of them together mean. Pure. */
export interface SkippedTest {
  readonly name: string;
  readonly reason: string;
}

/** What one vitest run found; written by reporter.ts, read by the gate. */
export interface TestCounts {
  readonly passed: number;
  /** Names of failed tests, and of files that could not be run. */
  readonly failed: readonly string[];
  readonly skipped: readonly SkippedTest[];
  /** Names of tests that failed once and passed when they were repeated: they count as passed, and are told. */
  readonly repeated?: readonly string[];
}

export interface PartOutcome {
  readonly part: string;
  readonly verdict: 'passed' | 'failed' | 'skipped';
  /** Why it failed or was skipped. */
  readonly reason: string | undefined;
  readonly ms: number;
  /** Only for parts that run tests. */
  readonly tests: TestCounts | undefined;
}

export interface Summary {
  /** Ends with the line `N passed, N failed, N skipped`. */
  readonly text: string;
  readonly exitCode: 0 | 1;
}

/** Tests count one each, and so does every part. Not a single test run by parts that should is a failure. */
export function summarise(outcomes: readonly PartOutcome[]): Summary {
  const lines: string[] = [];
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { part, verdict, reason, ms, tests } of outcomes) {
    counts[verdict] += 1;
    counts.passed += tests?.passed ?? 0;
    counts.failed += tests?.failed.length ?? 0;
    counts.skipped += tests?.skipped.length ?? 0;
    const detail = [tests === undefined ? undefined : describe(tests), reason].filter((text) => text !== undefined);
    lines.push(`${verdict.padEnd(7)} ${part.padEnd(12)} ${seconds(ms)}  ${detail.join('; ')}`.trimEnd());
    for (const name of tests?.failed ?? []) lines.push(`          failed   ${name}`);
    for (const name of tests?.repeated ?? [])
      lines.push(`          repeated ${name}: failed once, passed the second time`);
    for (const test of tests?.skipped ?? []) lines.push(`          skipped  ${test.name}: ${test.reason}`);
  }
  const testing = outcomes.filter((outcome) => outcome.tests !== undefined);
  const executed = testing.reduce((sum, { tests }) => sum + (tests?.passed ?? 0) + (tests?.failed.length ?? 0), 0);
  const nothing =
    outcomes.length === 0 || counts.passed + counts.failed === 0 || (testing.length > 0 && executed === 0);
  if (nothing) lines.push('no test was executed');
  lines.push(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  return { text: lines.join('\n'), exitCode: counts.failed > 0 || nothing ? 1 : 0 };
}

function describe(tests: TestCounts): string {
  return `${tests.passed} passed, ${tests.failed.length} failed, ${tests.skipped.length} skipped`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1).padStart(6)} s`;
}
