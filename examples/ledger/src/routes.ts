/**
 * What each path does, from parsed request to status and JSON; no sockets here. Refusals are Problems; a database that
 * is busy or can't be written is a 503, which a client may repeat under the same id.
 */
import type { Ledger } from './ledger.ts';
import { Problem } from './problem.ts';

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Parsed JSON, or undefined where there was none. */
  readonly body: unknown;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const PAGE_DEFAULT = 100;
const PAGE_MAX = 10_000;
/** SQLite's primary result codes for busy, locked, read-only, input/output, full, can't open. */
const UNAVAILABLE: ReadonlySet<number> = new Set([5, 6, 8, 10, 13, 14]);
/** Keeps every sum that a ledger of a thousand full accounts can show exact. */
const AMOUNT_MAX = 1_000_000_000_000;
/** Names in a path: what needs no escaping. */
const ID = /^[A-Za-z0-9._~:-]{1,128}$/;

/** Never throws. */
export function answer(ledger: Ledger, request: Request): Answer {
  try {
    return route(ledger, request);
  } catch (error) {
    if (error instanceof Problem) return refusal(error.status, error.code, error.message);
    const busy = isUnavailable(error);
    return refusal(busy ? 503 : 500, busy ? 'database_unavailable' : 'internal', (error as Error).message);
  }
}

export function refusal(status: number, code: string, message: string): Answer {
  return { status, body: { error: { code, message } } };
}

function route(ledger: Ledger, request: Request): Answer {
  const [, collection, id, ...rest] = request.path.split('/');
  const at = rest.length > 0 ? '?' : `${request.method} ${collection}${id === undefined ? '' : '/id'}`;
  switch (at) {
    case 'GET healthz':
      ledger.ping();
      return { status: 200, body: { status: 'ok' } };
    case 'GET sum':
      return { status: 200, body: ledger.sum() };
    case 'GET accounts':
      return accountsPage(ledger, request.query);
    case 'GET accounts/id':
      return found(ledger.account(nameOf('account', id)), `there is no account ${id}`);
    case 'POST accounts':
      return openAccount(ledger, request.body);
    case 'GET transfers':
      return transfersPage(ledger, request.query);
    case 'GET transfers/id':
      return found(ledger.find(nameOf('transfer', id)), `there is no transfer ${id}`);
    case 'PUT transfers/id':
      return putTransfer(ledger, nameOf('transfer', id), request.body);
    default:
      throw unknownRoute(request.method, collection);
  }
}

function accountsPage(ledger: Ledger, query: URLSearchParams): Answer {
  const limit = whole('limit', query.get('limit'), PAGE_DEFAULT, 1, PAGE_MAX);
  const accounts = ledger.accounts(query.get('after') ?? '', limit);
  const next = accounts.length === limit ? (accounts.at(-1)?.id ?? null) : null;
  return { status: 200, body: { accounts, next } };
}

function transfersPage(ledger: Ledger, query: URLSearchParams): Answer {
  const limit = whole('limit', query.get('limit'), PAGE_DEFAULT, 1, PAGE_MAX);
  const after = whole('after', query.get('after'), 0, 0, Number.MAX_SAFE_INTEGER);
  const transfers = ledger.transfers(after, limit);
  const next = transfers.length === limit ? (transfers.at(-1)?.seq ?? null) : null;
  return { status: 200, body: { transfers, next } };
}

function openAccount(ledger: Ledger, body: unknown): Answer {
  const { id, balance } = fields(body, ['id', 'balance']);
  const { account, created } = ledger.openAccount(nameOf('account', id), amountOf('balance', balance, 0));
  return { status: created ? 201 : 200, body: account };
}

function putTransfer(ledger: Ledger, id: string, body: unknown): Answer {
  const { from, to, amount } = fields(body, ['from', 'to', 'amount']);
  const order = { id, from: nameOf('account', from), to: nameOf('account', to), amount: amountOf('amount', amount, 1) };
  const { transfer, created } = ledger.transfer(order);
  return { status: created ? 201 : 200, body: transfer };
}

function found(value: object | undefined, message: string): Answer {
  if (value === undefined) throw new Problem(404, 'not_found', message);
  return { status: 200, body: value };
}

function fields<const K extends string>(body: unknown, names: readonly K[]): Record<K, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new Problem(400, 'body_invalid', `the body must be a JSON object with ${names.join(', ')}`);
  const unknown = Object.keys(body).find((name) => !(names as readonly string[]).includes(name));
  if (unknown !== undefined) throw new Problem(400, 'field_unknown', `unknown field "${unknown}"`);
  return body as Record<K, unknown>;
}

function nameOf(kind: string, value: unknown): string {
  if (typeof value === 'string' && ID.test(value)) return value;
  throw new Problem(400, 'id_invalid', `${kind} id must be 1 to 128 letters, digits and . _ ~ : -`);
}

function amountOf(field: string, value: unknown, min: number): number {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= AMOUNT_MAX) return value as number;
  throw new Problem(400, 'amount_invalid', `"${field}" must be a whole number from ${min} to ${AMOUNT_MAX}`);
}

function whole(field: string, text: string | null, fallback: number, min: number, max: number): number {
  if (text === null) return fallback;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new Problem(400, 'query_invalid', `"${field}" must be a whole number from ${min} to ${max}`);
}

function unknownRoute(method: string, collection: string | undefined): Problem {
  const known = ['healthz', 'sum', 'accounts', 'transfers'].includes(collection ?? '');
  return known
    ? new Problem(405, 'method_not_allowed', `${method} is not possible here`)
    : new Problem(404, 'not_found', 'there is nothing at this path');
}

function isUnavailable(error: unknown): boolean {
  const { code, errcode = 0 } = error as { code?: string; errcode?: number };
  return code === 'ERR_SQLITE_ERROR' && UNAVAILABLE.has(errcode & 0xff);
}
