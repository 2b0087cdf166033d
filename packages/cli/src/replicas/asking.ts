/** What the verbs of replication have in common: the connection, the words for a lag and a finding, and looking again and again. */
import { formatDuration, messageOf, systemEnv } from '@canopy/core';
import { ReplicationAdmin } from '@canopy/replication';
import { type ClusterOptions, withSession } from '../connect.ts';
import { Interruption } from '../elect/interruption.ts';
import { EXIT } from '../exit-codes.ts';
import type { Printer } from '../output/printer.ts';

/** How long nodes are waited for that are known and do not answer, unless --timeout says more. */
const SILENCE_MS = 2000;

export interface NamespaceOptions extends ClusterOptions {
  readonly namespace: string;
  readonly expect?: readonly string[] | undefined;
}

export async function withAdmin<T>(
  options: NamespaceOptions,
  work: (admin: ReplicationAdmin) => Promise<T>,
): Promise<T> {
  const { namespace, expect = [], timeoutMs, isTimeoutGiven } = options;
  const bound = isTimeoutGiven === true ? timeoutMs : SILENCE_MS;
  return withSession(options, ({ bus }) =>
    work(new ReplicationAdmin({ bus, namespace, expected: expect, timeoutMs: bound })),
  );
}

export interface Look {
  readonly data: unknown;
  readonly text: () => string;
  readonly isWell: boolean;
}

/** Once, with the exit code that tells whether all is well; with `everyMs` until ctrl-C, and then no failure ends it. */
export async function look(
  options: NamespaceOptions & { readonly watch?: number | undefined },
  printer: Printer,
  see: (admin: ReplicationAdmin) => Promise<Look>,
): Promise<number> {
  const everyMs = options.watch;
  return withAdmin(options, async (admin) => {
    if (everyMs === undefined) {
      const { data, text, isWell } = await see(admin);
      printer.result(data, text);
      return isWell ? EXIT.ok : EXIT.failed;
    }
    using interruption = new Interruption();
    const { signal } = interruption;
    const { clock } = systemEnv();
    while (!signal.aborted) {
      try {
        const { data, text } = await see(admin);
        if (!signal.aborted) printer.line(data, () => `${new Date(clock.wall()).toISOString()}  ${text()}\n`);
      } catch (error) {
        printer.note(`! ${messageOf(error)}`);
      }
      await clock.sleep(everyMs, { signal }).catch(() => {});
    }
    return EXIT.ok;
  });
}

/** A line each, or none. */
export function findingLines(
  findings: readonly { readonly node: string | undefined; readonly message: string }[],
): string[] {
  if (findings.length === 0) return [];
  return ['', ...findings.map(({ node, message }) => `! ${node === undefined ? '' : `${node}: `}${message}`)];
}

export const silence = (silent: readonly string[]): { node: string; message: string }[] =>
  silent.map((node) => ({ node, message: 'others know of it, and it does not answer: this may be incomplete' }));

export function rateText(perSecond: number | undefined): string | undefined {
  if (perSecond === undefined) return undefined;
  return `${perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond)}/s`;
}

export function durationText(ms: number | undefined): string | undefined {
  if (ms === undefined) return undefined;
  return Number.isFinite(ms) ? formatDuration(ms) : undefined;
}
