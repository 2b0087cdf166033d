/** Every error catalogue of the packages: what `errors.ts` files export with a `table`. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ErrorEntry } from './document.ts';

interface Spec {
  readonly message: string;
  readonly hint?: string;
  readonly retryable?: boolean;
}

/** Loads every errors.ts of the packages below `root`. Throws when one can not be loaded or has no catalogue. */
export async function readCatalogues(root: string): Promise<ErrorEntry[]> {
  const entries: ErrorEntry[] = [];
  for (const owner of readdirSync(join(root, 'packages')).sort()) {
    for (const file of errorFiles(join(root, 'packages', owner, 'src'))) {
      const tables = Object.values((await import(pathToFileURL(file).href)) as object).flatMap(tableOf);
      if (tables.length === 0) throw new Error(`${file} exports no catalogue`);
      for (const [code, { message, hint, retryable }] of tables.flatMap((table) => Object.entries(table)))
        entries.push({ owner, code, message, hint, retryable: retryable ?? false });
    }
  }
  return entries;
}

function errorFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => /(^|\/)errors\.ts$/.test(path))
    .sort()
    .map((path) => join(folder, path));
}

function tableOf(exported: unknown): Readonly<Record<string, Spec>>[] {
  const table = (exported as { table?: unknown } | null)?.table;
  return typeof table === 'object' && table !== null ? [table as Readonly<Record<string, Spec>>] : [];
}
