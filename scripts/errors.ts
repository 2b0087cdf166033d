/** Writes docs/errors.md from the packages' catalogues; with `--check` only says whether it is up to date. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { readCatalogues } from './errors/catalogues.ts';
import { renderErrors } from './errors/document.ts';

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
const root = fileURLToPath(new URL('..', import.meta.url));
const document = `${root}docs/errors.md`;
const entries = await readCatalogues(root);
const text = renderErrors(entries);

if (!values.check) {
  mkdirSync(dirname(document), { recursive: true });
  writeFileSync(document, text);
  process.stdout.write(`docs/errors.md: ${entries.length} codes\n`);
} else if (!existsSync(document) || readFileSync(document, 'utf8') !== text) {
  process.stdout.write('docs/errors.md is stale: run node scripts/errors.ts\n');
  process.exitCode = 1;
}
