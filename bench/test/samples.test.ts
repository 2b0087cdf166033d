import { describe, expect, it } from 'vitest';
import { createReport } from '../src/harness.ts';
import { Samples } from '../src/samples.ts';

describe('Samples', () => {
  it('takes nearest-rank percentiles, whatever the order of arrival', () => {
    const samples = new Samples();
    for (const value of [5, 1, 4, 2, 3]) samples.add(value);
    expect([samples.percentile(1), samples.p50, samples.percentile(80), samples.p99]).toEqual([1, 3, 4, 5]);
    samples.add(0);
    expect(samples.percentile(1)).toBe(0);
  });
  it('refuses to make a figure from nothing', () => {
    expect(() => new Samples().p50).toThrow('no samples');
  });
});

it('a figure is one JSON line with its baseline and ratio, and says whether it came to its target', () => {
  const lines: string[] = [];
  const report = createReport(
    's',
    (line) => lines.push(line),
    () => {},
  );
  report.figure('m', 'ms', 3.000049, 2);
  report.figure('n', 'ms', 1);
  report.figure('o', 'MB/s', 50, 100, { of: 'ratio', atLeast: 0.6 });
  report.figure('p', 'ms', 5, undefined, { of: 'value', atMost: 5 });
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { suite: 's', metric: 'm', unit: 'ms', value: 3, baseline: 2, ratio: 1.5 },
    { suite: 's', metric: 'n', unit: 'ms', value: 1 },
    { suite: 's', metric: 'o', unit: 'MB/s', value: 50, baseline: 100, ratio: 0.5, target: 'ratio >= 0.6', met: false },
    { suite: 's', metric: 'p', unit: 'ms', value: 5, target: 'value <= 5', met: true },
  ]);
});
