/** Reads a whole ledger through its HTTP interface, page by page: what the checkers are fed with at the end. */
import type { FinalAccount, FinalTransfer } from '../check/ledger.ts';
import type { HttpClient } from './http-client.ts';

export interface LedgerState {
  readonly accounts: readonly FinalAccount[];
  /** In the order in which they happened. */
  readonly transfers: readonly FinalTransfer[];
}

const PAGE = 5000;

/**
 * Everything in the ledger at `url`. Meant for a ledger that nobody writes to: pages are read one after the other.
 * Throws when a page is not answered with 200.
 */
export async function readLedger(client: HttpClient, url: string): Promise<LedgerState> {
  const [accounts, transfers] = [
    await pages<FinalAccount>(client, `${url}/accounts`, 'accounts'),
    await pages<FinalTransfer>(client, `${url}/transfers`, 'transfers'),
  ];
  return { accounts, transfers };
}

async function pages<T>(client: HttpClient, url: string, field: string): Promise<T[]> {
  const all: T[] = [];
  for (let after: string | number = ''; ; ) {
    const from = after === '' ? '' : `&after=${encodeURIComponent(after)}`;
    const reply = await client.send('GET', `${url}?limit=${PAGE}${from}`);
    if (reply.type === 'none') throw new Error(`GET ${url}: ${reply.reason}`);
    if (reply.status !== 200) throw new Error(`GET ${url}: ${reply.status} ${JSON.stringify(reply.body)}`);
    const body = reply.body as { readonly next: string | number | null } & Readonly<Record<string, readonly T[]>>;
    all.push(...(body[field] as readonly T[]));
    if (body.next === null) return all;
    after = body.next;
  }
}
