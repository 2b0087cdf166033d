/**
 * better-sqlite3, a pinned version, in the user's cache. Its package brings binaries for the usual platforms; elsewhere it is
 * compiled with the headers of the Node that runs us. A directory gets its name by a rename once the module in it has opened
 * a database, so it is made once per machine, and two at a time do no harm.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { cacheDirectory } from '../litestream/binaries.ts';

const VERSION = '13.2.0';
/** A compilation of SQLite takes one or two minutes. */
export const INSTALL_TIMEOUT_MS = 300_000;
const OPENS = "new (require('better-sqlite3'))(':memory:').exec('CREATE TABLE t(x)')";

/** `directory` is where `better-sqlite3` can be required from, or `missing` says why there is none. Never throws. */
export async function betterSqlite3(): Promise<{ readonly directory: string; readonly missing: string | undefined }> {
  const directory = join(
    cacheDirectory(),
    `better-sqlite3-${VERSION}-${process.platform}-${process.arch}-${process.versions.modules}`,
  );
  if (existsSync(directory)) return { directory, missing: undefined };
  const work = mkdtempSync(join(cacheDirectory(), '.work-better-sqlite3-'));
  try {
    await install(work);
    await promisify(execFile)(process.execPath, ['-e', OPENS], { cwd: work, timeout: INSTALL_TIMEOUT_MS });
    renameSync(work, directory);
    return { directory, missing: undefined };
  } catch (error) {
    if (existsSync(directory)) return { directory, missing: undefined };
    const reason = ((error as { stderr?: string }).stderr || (error as Error).message).trim().split('\n').at(-1);
    return { directory, missing: `better-sqlite3 ${VERSION} can't be had here: ${reason}` };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function install(work: string): Promise<void> {
  writeFileSync(join(work, 'package.json'), '{"private":true}');
  await promisify(execFile)('npm', ['install', '--no-audit', '--no-fund', `better-sqlite3@${VERSION}`], {
    cwd: work,
    // The headers that came with this Node: bin/node and include/node are side by side.
    env: { ...process.env, npm_config_nodedir: dirname(dirname(process.execPath)) },
    timeout: INSTALL_TIMEOUT_MS,
    killSignal: 'SIGTERM',
  });
}
