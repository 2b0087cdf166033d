/** A real database shipped into a log commit by commit, with the file as it was at each transaction. */
import { epoch } from '@canopy/core';
import type { SegmentLog } from '../../src/log/segment-log.ts';
import { encodeLtx, type PageSource } from '../../src/ltx/encoder.ts';
import type { LtxPage } from '../../src/ltx/header.ts';
import { type WalCursor, WalReader } from '../../src/wal/reader.ts';
import type { WalDatabase } from '../wal/databases.ts';

const CLOCK = 1_700_000_000_000;

export class Shipping {
  readonly #source: WalDatabase;
  readonly #log: SegmentLog;
  #reader: WalReader | undefined;
  #cursor: WalCursor | undefined;
  txid = 0;
  /** The database file after each transaction. */
  readonly states = new Map<number, Buffer>();

  constructor(source: WalDatabase, log: SegmentLog) {
    this.#source = source;
    this.#log = log;
  }

  /** Runs the statements and ships what they committed as the next transaction. */
  async run(sql: string): Promise<void> {
    this.#source.exec(sql);
    this.#reader ??= new WalReader(this.#source.openWal());
    const reader = this.#reader;
    const scan = reader.read(this.#cursor);
    if (scan.type !== 'batch' || scan.commit === undefined) throw new Error(`nothing to ship: ${scan.type}`);
    const state = this.#source.checkpointed();
    this.txid++;
    const { pageSize } = scan.header;
    const image = pagesOf(state, pageSize);
    const pages: LtxPage[] =
      this.txid === 1
        ? Array.from({ length: image.pageCount }, (_, i) => ({ pgno: i + 1, data: image.read(i + 1) }))
        : [...scan.pages]
            .sort((a, b) => a[0] - b[0])
            .map(([pgno, frame]) => ({ pgno, data: reader.page(frame, new Uint8Array(pageSize)) }));
    const header = {
      pageSize,
      commit: scan.commit,
      minTxid: this.txid,
      maxTxid: this.txid,
      timestamp: timeOf(this.txid),
      walOffset: scan.from.offset,
      walSize: scan.end.offset - scan.from.offset,
      walSalt1: scan.end.salt1,
      walSalt2: scan.end.salt2,
    };
    await this.#log.append({
      txid: this.txid,
      epoch: epoch(1),
      node: 'a',
      kind: 'commit',
      bytes: encodeLtx(header, pages),
    });
    this.states.set(this.txid, state);
    this.#cursor = scan.end;
  }
}

export function timeOf(txid: number): number {
  return CLOCK + txid * 1000;
}

export function pagesOf(file: Uint8Array, pageSize: number): PageSource {
  return {
    pageSize,
    pageCount: file.length / pageSize,
    read: (pgno) => file.subarray((pgno - 1) * pageSize, pgno * pageSize),
  };
}
