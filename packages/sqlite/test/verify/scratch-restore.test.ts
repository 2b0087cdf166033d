import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { epoch, systemEnv } from '@canopy/core';
import { describe, expect, test } from 'vitest';
import { encodeLtx } from '../../src/ltx/encoder.ts';
import type { RestoreSource } from '../../src/restore/restore.ts';
import { proveRestore } from '../../src/verify/scratch-restore.ts';
import { fill, memoryLog } from '../log/logs.ts';
import { header, page } from '../ltx/pages.ts';
import { Shipping } from '../restore/shipping.ts';
import { WalDatabase } from '../wal/databases.ts';

const env = systemEnv();

describe('proveRestore', () => {
  test('a sound log is proven; nothing stays', async () => {
    using source = new WalDatabase(1024);
    const { log } = await memoryLog();
    const shipping = new Shipping(source, log);
    for (const sql of ['CREATE TABLE t (a)', 'INSERT INTO t VALUES (1)']) await shipping.run(sql);
    const scratch = join(source.directory, 'verify.db');
    const proof = await proveRestore({ log, path: '/x.db', scratch, env });
    expect(proof).toMatchObject({ position: { epoch: 1, txid: 2 }, method: 'full', bytes: 2048 });
    expect(existsSync(scratch)).toBe(false);
  });

  test('pages that are no database, a gap or damage fail it; an empty log does not', async () => {
    using source = new WalDatabase(1024);
    const scratch = join(source.directory, 'verify.db');
    const given = await memoryLog();
    const proof = (): Promise<unknown> => proveRestore({ log: given.log, path: '/x.db', scratch, env });
    await expect(proof()).rejects.toMatchObject({ code: 'SQLITE_LOG_EMPTY' });
    await fill(given.log, 1, 4);
    await expect(proof()).rejects.toMatchObject({ code: 'SQLITE_VERIFY_FAILED' });
    await given.blobs.delete((await given.log.entries())[1]?.name as string);
    await expect(proof()).rejects.toThrow(/0002|transactions 2 to 2/);
    expect(existsSync(scratch) || existsSync(`${scratch}.restoring`)).toBe(false);
  });

  test('a database that does not fit is not even begun', async () => {
    using source = new WalDatabase(1024);
    const { log } = await memoryLog();
    await fill(log, 1, 1);
    // An entry that says the database has 2^32 - 1 pages of 64 KiB: 256 TiB.
    const bytes = encodeLtx(header({ minTxid: 2, maxTxid: 2, commit: 0xffff_ffff, pageSize: 512 }), [page(9)]);
    await log.append({ txid: 2, epoch: epoch(1), node: 'a', kind: 'commit', bytes });
    const open: RestoreSource['open'] = async (name, options) => {
      const opened = await log.open(name, options);
      if (opened === undefined) return undefined;
      const wide = { ...opened.stream.header, pageSize: 65_536 };
      return { ...opened, stream: { ...opened.stream, header: wide } };
    };
    const huge: RestoreSource = {
      bucket: log.bucket,
      all: (o) => log.all(o),
      fetchEntry: (...a) => log.fetchEntry(...a),
      open,
    };
    const scratch = join(source.directory, 'verify.db');
    await expect(proveRestore({ log: huge, path: '/x.db', scratch, env })).rejects.toMatchObject({
      code: 'SQLITE_VERIFY_NO_SPACE',
    });
  });
});
