/** `npm run tidy`: prints what breaks the house rules, one a line as `path:line rule message`, and exits 1 if anything does. */
import { fileURLToPath } from 'node:url';
import { findUntidy } from './tidy/rules.ts';

const root = process.argv[2] ?? fileURLToPath(new URL('..', import.meta.url));
const findings = findUntidy(root);
for (const { path, line, rule, message } of findings) process.stdout.write(`${path}:${line} ${rule} ${message}\n`);
if (findings.length > 0) {
  process.stdout.write(`${findings.length} not tidy\n`);
  process.exitCode = 1;
}
