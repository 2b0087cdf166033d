/** What a client may conclude from the reply to a transfer. In doubt it is `unknown`: to be sent again under the same id. */
import type { Outcome } from './history.ts';
import type { Reply } from './http-client.ts';

export function judge(reply: Reply): { outcome: Outcome; status: number | undefined; reason: string | undefined } {
  if (reply.type === 'none') return { outcome: 'unknown', status: undefined, reason: reply.reason };
  const { status, body } = reply;
  if (status === 200 || status === 201) return { outcome: 'acknowledged', status, reason: undefined };
  // 408, 425 and 429 come from whatever stands in between and say nothing about the ledger.
  const isRefusal = status >= 400 && status < 500 && status !== 408 && status !== 425 && status !== 429;
  return { outcome: isRefusal ? 'refused' : 'unknown', status, reason: describe(body) };
}

function describe(body: unknown): string {
  const error = (body as { error?: { code?: unknown } } | null)?.error;
  return typeof error?.code === 'string' ? error.code : JSON.stringify(body).slice(0, 200);
}
