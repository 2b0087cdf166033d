/** What a caller may bring: a pipeline and a state store without any promises, as simple as they come. */
import type { FollowerPipeline, HeartbeatService, StateStore } from '@canopy/replication';

export class PlainPipeline implements FollowerPipeline {
  readonly events: Record<string, unknown>[] = [];
  readonly sent: unknown[][] = [];
  readonly askedFrom: number[] = [];
  failing = 0;
  /** Not handed on at once: `deliver` does. */
  held = false;
  readonly #callbacks = new Set<(event: unknown) => void>();

  async send(events: readonly unknown[]): Promise<void> {
    this.sent.push([...events]);
    if (this.failing > 0) {
      this.failing -= 1;
      throw new Error('the pipeline is away');
    }
    for (const event of events as Record<string, unknown>[]) {
      this.events.push(event);
      if (!this.held) this.deliver(event);
    }
  }

  subscribe(_namespace: string, callback: (event: unknown) => void): () => void {
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  }

  getEvents(from = 0): readonly unknown[] {
    this.askedFrom.push(from);
    return this.events.slice(from);
  }

  deliver(event: unknown): void {
    for (const callback of [...this.#callbacks]) callback(event);
  }
}

export class MapStore implements StateStore {
  readonly entries = new Map<string, { value: unknown; version: number }>();
  readonly #versions = new Map<string, number>();

  get(key: string): unknown {
    return this.entries.get(key)?.value;
  }

  set(key: string, value: unknown): number {
    const version = (this.#versions.get(key) ?? 0) + 1;
    this.#versions.set(key, version);
    this.entries.set(key, { value, version });
    return version;
  }

  delete(key: string): boolean {
    return this.entries.delete(key);
  }

  has(key: string): boolean {
    return this.entries.has(key);
  }

  getAll(): Map<string, unknown> {
    return new Map([...this.entries].map(([key, { value }]) => [key, value]));
  }

  getVersion(key: string): number {
    return this.entries.get(key)?.version ?? 0;
  }
}

export class Heart implements HeartbeatService {
  readonly beats: string[] = [];
  readonly #callbacks = new Set<(leaderId: string, alive: boolean) => void>();

  sendHeartbeat(nodeId: string): void {
    this.beats.push(nodeId);
  }

  getLastHeartbeat(): number | null {
    return null;
  }

  isAlive(): boolean {
    return true;
  }

  onLeaderStatus(callback: (leaderId: string, alive: boolean) => void): () => void {
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  }

  tell(leaderId: string, alive: boolean): void {
    for (const callback of [...this.#callbacks]) callback(leaderId, alive);
  }
}
