/** The load generator and what it remembers. */
export type { Gap, LatencyStats, Outcome, RequestRecord } from './history.ts';
export { HttpClient, type HttpClientOptions, type Reply } from './http-client.ts';
export { Load, type LoadStats } from './load.ts';
export type { LoadOptions } from './options.ts';
export { type LedgerState, readLedger } from './read-ledger.ts';
