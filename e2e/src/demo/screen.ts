/** What the demo shows a person, step by step, on stderr; the result goes to stdout. */

import { renderTable } from '@canopy/cli';
import { formatDuration } from '@canopy/core';
import type { Round } from './round.ts';
import type { Verdict } from './verdict.ts';

export type Say = (text: string) => void;

export function showRound(say: Say, number: number, round: Round, ttlMs: number): void {
  const letter = 'abcde'[number] ?? '?';
  say('');
  say(`(${letter}) ${round.fault.title}: ${round.from} → ${round.to}`);
  const origin = round.struckAt;
  for (const entry of round.timeline) {
    const ms = `+${(entry.monotonic - origin).toFixed(0)} ms`.padStart(10);
    say(`   ${ms}  ${entry.event.replaceAll('_', ' ')}${entry.detail === undefined ? '' : ` (${entry.detail})`}`);
  }
  const lease = round.fault.waitsForLease ? `, of which the lease of ${formatDuration(ttlMs)} had to run out` : '';
  say(`   writes were not served for ${Math.round(round.gapMs)} ms${lease}`);
  const kept = round.divergences.length === 0 ? 'nothing had diverged' : `kept aside: ${round.divergences.join(', ')}`;
  say(`   ${round.from} is a standby again; ${kept}`);
}

export function showVerdict(say: Say, rounds: readonly Round[], verdict: Verdict): void {
  const { ledger, writers } = verdict;
  say('');
  say(
    renderTable(
      ['FAULT', 'FROM', 'TO', 'WRITES NOT SERVED'],
      rounds.map((r) => [r.fault.title, r.from, r.to, `${Math.round(r.gapMs)} ms`]),
    ),
  );
  say('');
  say(`${mark(ledger.lost === 0)} ${verdict.acknowledged} transfers acknowledged, ${ledger.lost} lost`);
  say(`${mark(ledger.duplicated === 0)} ${ledger.duplicated} duplicated`);
  say(`${mark(ledger.invariant)} money neither made nor lost`);
  say(
    `${mark(writers.dualWriters + writers.unleased === 0)} ${writers.dualWriters} commits while another held the lease, ${writers.unleased} outside of any lease`,
  );
  say(
    `${mark(verdict.thrownAway === 0)} ${writers.divergent} commits of woken backends, refused by the log; ${verdict.thrownAway} of them not kept aside`,
  );
  say(
    `${mark(verdict.unequal.length === 0)} every node's own copy agrees${verdict.unequal.length === 0 ? '' : `, except ${verdict.unequal.join('; ')}`}`,
  );
  for (const detail of [...ledger.details, ...writers.details].slice(0, 20)) say(`    ${detail}`);
}

function mark(ok: boolean): string {
  return ok ? '✔' : '✘';
}
