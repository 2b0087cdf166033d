/** What a load is told, and its defaults. */
import { resolveOptions } from '@canopy/core';

export interface LoadOptions {
  /** Base URLs of the proxies; a request that got no clear answer goes to the next one. */
  readonly urls: readonly string[];
  /** The ledger's accounts to move money between; two at least. */
  readonly accounts: readonly string[];
  /** Requests in flight at most. Default 8. */
  readonly workers?: number;
  /**
   * Transfers begun per second, all workers together. Default 0: each worker sends the next as soon as the last is
   * settled. What can't be sent in time because every worker is busy is left out, not made up for.
   */
  readonly ratePerSecond?: number;
  /** Part of the operations that read an account instead, 0..1. Default 0.1. */
  readonly readShare?: number;
  /** Bound on one request. Default 2000 ms. */
  readonly timeoutMs?: number;
  /** Pause before a request without a clear answer is sent again. It bounds the precision of `gap`. Default 20 ms. */
  readonly retryMs?: number;
  /** Largest amount of one transfer. Default 10. */
  readonly amountMax?: number;
  /** Requests remembered; when reached the load begins no more transfers and `stats().full` is true. Default 500 000. */
  readonly recordsMax?: number;
  /** What chooses accounts and amounts. Default: chance. */
  readonly seed?: string;
  /** Beginning of every transfer id; unique per load by default. */
  readonly idPrefix?: string;
}

export interface ResolvedLoadOptions extends Required<Omit<LoadOptions, 'seed' | 'idPrefix'>> {
  readonly seed: string | undefined;
  readonly idPrefix: string | undefined;
}

/** Throws OPTIONS_INVALID. */
export function resolveLoadOptions(options: LoadOptions): ResolvedLoadOptions {
  return resolveOptions('load', options, (read) => {
    const resolved = {
      urls: read.any<readonly string[]>('urls', { required: true, default: [] }),
      accounts: read.any<readonly string[]>('accounts', { required: true, default: [] }),
      workers: read.integer('workers', { default: 8, min: 1, max: 1000 }),
      ratePerSecond: read.any<number>('ratePerSecond', { default: 0 }),
      readShare: read.any<number>('readShare', { default: 0.1 }),
      timeoutMs: read.durationMs('timeoutMs', { default: 2000, minMs: 1 }),
      retryMs: read.durationMs('retryMs', { default: 20, minMs: 1 }),
      amountMax: read.integer('amountMax', { default: 10, min: 1 }),
      recordsMax: read.integer('recordsMax', { default: 500_000, min: 1 }),
      seed: read.optionalString('seed'),
      idPrefix: read.optionalString('idPrefix'),
    };
    read.check(resolved.urls.length > 0, 'urls', 'must name one URL at least');
    read.check(resolved.accounts.length > 1, 'accounts', 'must name two accounts at least');
    read.check(resolved.ratePerSecond >= 0, 'ratePerSecond', 'must be 0 or more');
    read.check(resolved.readShare >= 0 && resolved.readShare < 1, 'readShare', 'must be from 0 to below 1');
    return resolved;
  });
}
