/** The options of a restore as a program gives them, checked before anything is looked at. Pure. */
import { type OptionReader, resolveOptions } from '@canopy/core';

/** Throws OPTIONS_INVALID naming every field that is wrong. Where the log is, is for who opens it. */
export function requireRestoreOptions(options: object): void {
  resolveOptions('restore()', options, (read) => {
    read.any('log');
    read.any('store');
    read.any('env');
    const dest = read.string('dest', { required: true });
    read.check(!dest.includes('\0'), 'dest', 'must be a path, without NUL');
    requireTarget(read);
    read.boolean('overwrite');
    read.oneOf('check', ['none', 'quick', 'full']);
    for (const field of ['onProgress', 'prepare']) {
      const given = read.any<unknown>(field);
      read.check(given === undefined || typeof given === 'function', field, 'must be a function');
    }
    const signal = read.any<unknown>('signal');
    read.check(signal === undefined || signal instanceof AbortSignal, 'signal', 'must be an AbortSignal');
  });
}

function requireTarget(read: OptionReader): void {
  read.object('target', (target) => {
    const [txid, timestamp] = [target.any<unknown>('txid'), target.any<unknown>('timestamp')];
    const isOne = (txid === undefined) !== (timestamp === undefined);
    target.check(isOne, 'txid', 'or timestamp: name one of the two, or leave the target out for the end of the log');
    const isTxid = txid === undefined || (Number.isSafeInteger(txid) && Number(txid) > 0);
    target.check(isTxid, 'txid', 'must be a transaction, a whole number from 1');
    target.check(timestamp === undefined || Number.isFinite(timestamp), 'timestamp', 'must be a time in Unix ms');
    target.integer('epoch', { min: 0 });
  });
}
