/** Where an app's requests go as known on this node, kept in memory and told to those who wait for it to change. */
import type { Member } from '../members/machine.ts';
import type { ProxyTarget, Route } from '../proxy/target.ts';
import type { ActiveTerm } from './active-term.ts';

export interface KnownLeader {
  /** Undefined when the lease is vacant. */
  readonly id: string | undefined;
}

export interface RouteSources {
  readonly app: string;
  readonly node: string;
  /** Undefined when this node takes no part in the election at the moment, and so knows nothing of it. */
  readonly leader: () => KnownLeader | undefined;
  readonly member: (id: string) => Member | undefined;
  readonly members: () => readonly Member[];
}

export class RouteBoard implements ProxyTarget {
  readonly #sources: RouteSources;
  readonly #waiting = new Set<() => void>();
  #term: ActiveTerm | undefined;

  constructor(sources: RouteSources) {
    this.#sources = sources;
  }

  /** The term in which this node serves; undefined closes the gate. */
  get term(): ActiveTerm | undefined {
    return this.#term;
  }

  set term(term: ActiveTerm | undefined) {
    this.#term = term;
    this.notify();
  }

  route(): Route {
    if (this.#term !== undefined) return { kind: 'local', term: this.#term };
    const { app, node, member } = this.#sources;
    const leader = this.#sources.leader();
    const active =
      leader === undefined ? this.#newestServing() : leader.id === undefined ? undefined : member(leader.id);
    const address = active?.record.apps[app]?.proxyAddress;
    if (active === undefined || active.record.id === node || active.health === 'gone') return { kind: 'none' };
    if (address === undefined || active.record.apps[app]?.serving !== true) return { kind: 'none' };
    return { kind: 'remote', node: active.record.id, address };
  }

  changed(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiting.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  /** Something that `route` depends on may have changed. */
  notify(): void {
    for (const done of [...this.#waiting]) done();
  }

  /** Of several that say they serve, the highest epoch is the one that can write. */
  #newestServing(): Member | undefined {
    let best: Member | undefined;
    for (const member of this.#sources.members()) {
      const app = member.record.apps[this.#sources.app];
      if (app?.serving !== true || member.health === 'gone') continue;
      if ((app.epoch ?? 0) > (best?.record.apps[this.#sources.app]?.epoch ?? -1)) best = member;
    }
    return best;
  }
}
