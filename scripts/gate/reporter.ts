/**
 * A vitest reporter that writes one JSON file of TestCounts, named by GATE_REPORT: the stock JSON reporter does not tell
 * why a test was skipped, and counts a file that can't be loaded as no test at all.
 */
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { Reporter, TestCase, TestModule } from 'vitest/node';
import type { SkippedTest, TestCounts } from './outcome.ts';

export default class GateReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly { readonly message?: string }[]): void {
    const file = process.env.GATE_REPORT;
    if (file !== undefined) writeFileSync(file, JSON.stringify(count(modules, unhandled)));
  }
}

function count(modules: readonly TestModule[], unhandled: readonly { readonly message?: string }[]): TestCounts {
  let passed = 0;
  const failed: string[] = [];
  const skipped: SkippedTest[] = [];
  const repeated: string[] = [];
  for (const module of modules) {
    const before = failed.length;
    for (const test of module.children.allTests()) {
      const result = test.result();
      if (result.state === 'passed') passed += 1;
      else if (result.state === 'skipped')
        skipped.push({ name: nameOf(test), reason: result.note ?? 'no reason given' });
      else failed.push(nameOf(test));
      if (test.diagnostic()?.flaky) repeated.push(nameOf(test));
    }
    // A file or a suite that broke outside of its tests: an import, a hook.
    if (!module.ok() && failed.length === before) failed.push(`${pathOf(module)} (outside of its tests)`);
  }
  failed.push(...unhandled.map((error) => `unhandled error: ${error.message ?? 'unknown'}`));
  return { passed, failed, skipped, repeated };
}

function nameOf(test: TestCase): string {
  return `${pathOf(test.module)} > ${test.fullName}`;
}

function pathOf(module: TestModule): string {
  return relative(process.cwd(), module.moduleId);
}
