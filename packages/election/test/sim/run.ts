/**
 * `npm run test:sim -- --seeds N [--seed S] [--plant FAULT]`: simulates elections from N seeds, beginning at S (default
 * 1), prints what failed with its seed, and a summary. Exit code 1 on any violation.
 */
import { parseArgs } from 'node:util';
import { type PlantedFault, simulate } from '../../src/testing/index.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    plant: { type: 'string', default: 'none' },
  },
});
const first = Number(values.seed);
const count = Number(values.seeds);
let failed = 0;
let promotions = 0;
let losses = 0;
let conflicts = 0;
let slowestMs = 0;
for (let seed = first; seed < first + count; seed++) {
  const report = simulate({ seed, plant: values.plant as PlantedFault });
  promotions += report.promotions;
  losses += Object.values(report.losses).reduce((sum, n) => sum + n, 0);
  conflicts += report.conflicts;
  slowestMs = Math.max(slowestMs, report.recoveredMs ?? 0);
  if (report.violations.length === 0) continue;
  failed += 1;
  process.stdout.write(`seed ${seed}: ${report.violations.slice(0, 3).join('; ')}\n`);
}
process.stdout.write(
  `${count} seeds from ${first}: ${failed} failed; ${promotions} terms, ${losses} leases lost, ${conflicts} conflicts, slowest recovery ${slowestMs} ms\n`,
);
process.exitCode = failed === 0 ? 0 : 1;
