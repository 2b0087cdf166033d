/** `npm run bench -- <suite>…`: runs suites one after another and prints their figures as JSON lines. */
import { parseArgs } from 'node:util';
import { createReport, type Suite } from './harness.ts';

const SUITES: Readonly<Record<string, () => Promise<{ suite: Suite }>>> = {
  election: () => import('./suites/election.ts'),
  'election-scale': () => import('./suites/election-scale.ts'),
  wal: () => import('./suites/wal.ts'),
  'sqlite-scale': () => import('./suites/sqlite-scale.ts'),
  replication: () => import('./suites/replication.ts'),
  failover: () => import('./suites/failover.ts'),
  idle: () => import('./suites/idle.ts'),
};

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } },
});
const unknown = positionals.filter((name) => !(name in SUITES));
if (values.help || positionals.length === 0 || unknown.length > 0) {
  if (unknown.length > 0) process.stderr.write(`no such suite: ${unknown.join(', ')}\n`);
  process.stderr.write(`usage: npm run bench -- <suite>… [--quick]\nsuites: ${Object.keys(SUITES).join(', ')}\n`);
  process.exitCode = unknown.length > 0 ? 2 : 0;
} else {
  for (const name of positionals) {
    const { suite } = await (SUITES[name] as () => Promise<{ suite: Suite }>)();
    const report = createReport(
      name,
      (line) => process.stdout.write(`${line}\n`),
      (text) => process.stderr.write(`${text}\n`),
    );
    await suite(report, { quick: values.quick });
  }
}
