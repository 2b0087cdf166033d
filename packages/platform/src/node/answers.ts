/** What a node answers to control requests about its members and apps. */
import { type Clock, checkName } from '@canopy/core';
import type { App } from '../apps/app.ts';
import type { MemberView, SteppedDown } from '../control/protocol.ts';
import type { Handlers } from '../control/server.ts';
import type { Member } from '../members/machine.ts';
import { databaseHandlers } from './database-answers.ts';

export function memberViews(members: readonly Member[], now: number): readonly MemberView[] {
  return members
    .map(({ record, health, seenAt }): MemberView => ({ ...record, health, ageMs: Math.round(now - seenAt) }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

export function appHandlers(app: App, node: string, clock: Clock): Handlers {
  const leave = async (go: () => Promise<void>): Promise<SteppedDown> => {
    const { epoch } = app;
    const startedAt = clock.monotonic();
    await go();
    return { app: app.name, from: node, epoch, ms: Math.round((clock.monotonic() - startedAt) * 10) / 10 };
  };
  return {
    status: () => app.status(),
    stepdown: () => leave(() => app.stepDown()),
    handoff: (request) => leave(() => app.handoff(checkName('node', request['to']))),
    db: () => app.status().database ?? null,
    timeline: () => app.status().timeline,
    ...databaseHandlers(app, node, clock),
  };
}
