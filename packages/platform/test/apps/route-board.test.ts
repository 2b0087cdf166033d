import { VirtualClock } from '@canopy/core/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import { ActiveTerm } from '../../src/apps/active-term.ts';
import { type KnownLeader, RouteBoard } from '../../src/apps/route-board.ts';
import type { Member } from '../../src/members/machine.ts';
import { FakeLeadership } from '../fakes/leadership.ts';
import { recordOf } from '../members/records.ts';

let members: Map<string, Member>;
let leader: KnownLeader | undefined;
let board: RouteBoard;
beforeEach(() => {
  members = new Map();
  leader = undefined;
  board = new RouteBoard({
    app: 'x',
    node: 'n1',
    leader: () => leader,
    member: (id) => members.get(id),
    members: () => [...members.values()],
  });
});

function member(id: string, app: { serving: boolean; epoch?: number }, health: Member['health'] = 'alive'): void {
  const apps = { x: { role: 'active' as const, proxyAddress: `${id}:80`, ...app } };
  members.set(id, { record: recordOf(id, { apps }), revision: 1, health, seenAt: 0 });
}

describe('where requests go', () => {
  it('to the leader, once its record says that it serves', () => {
    leader = { id: 'n2' };
    expect(board.route()).toEqual({ kind: 'none' });
    member('n2', { serving: false, epoch: 4 });
    expect(board.route()).toEqual({ kind: 'none' });
    member('n2', { serving: true, epoch: 4 });
    expect(board.route()).toEqual({ kind: 'remote', node: 'n2', address: 'n2:80' });
  });

  it('nowhere while the lease is vacant, whatever old records say', () => {
    member('n2', { serving: true, epoch: 4 });
    leader = { id: undefined };
    expect(board.route()).toEqual({ kind: 'none' });
  });

  it('nowhere when the leader is gone, or is this node which does not serve yet', () => {
    member('n2', { serving: true, epoch: 4 }, 'gone');
    leader = { id: 'n2' };
    expect(board.route()).toEqual({ kind: 'none' });
    member('n1', { serving: true, epoch: 5 });
    leader = { id: 'n1' };
    expect(board.route()).toEqual({ kind: 'none' });
  });

  it('to the highest epoch that serves while this node takes no part in the election', () => {
    member('n2', { serving: true, epoch: 4 });
    member('n3', { serving: true, epoch: 9 });
    member('n4', { serving: true, epoch: 12 }, 'gone');
    member('n5', { serving: false, epoch: 20 });
    expect(board.route()).toMatchObject({ kind: 'remote', node: 'n3' });
  });

  it('to the backend here while the gate is open; who waits is told of each change', async () => {
    const clock = new VirtualClock();
    const leadership = new FakeLeadership(clock);
    const term = new ActiveTerm({ leadership, backend: 'http://b', database: undefined, clock });
    const changed = board.changed(new AbortController().signal);
    board.term = term;
    await changed;
    expect(board.route()).toEqual({ kind: 'local', term });
    const again = board.changed(new AbortController().signal);
    board.term = undefined;
    await again;
    expect(board.route()).toEqual({ kind: 'none' });
    await board.changed(AbortSignal.abort());
  });
});
