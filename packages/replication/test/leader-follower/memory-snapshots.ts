/** Snapshots in memory; whole or not there. */
import { createHash } from 'node:crypto';
import { replicationErrors, type SnapshotInfo, type SnapshotStore } from '@canopy/replication';

export class MemorySnapshots implements SnapshotStore {
  readonly stored: { info: SnapshotInfo; lines: readonly string[] }[] = [];
  damaged = false;

  async put(
    info: Pick<SnapshotInfo, 'namespace' | 'sequence' | 'epoch' | 'logCreatedAt'>,
    source: AsyncIterable<string> | Iterable<string>,
  ): Promise<SnapshotInfo> {
    const lines: string[] = [];
    for await (const line of source) lines.push(line);
    const text = lines.join('\n');
    const sha256 = createHash('sha256').update(text).digest('hex');
    const whole = { ...info, entries: lines.length, bytes: text.length, sha256, storedAt: 0 };
    this.stored.push({ info: whole, lines });
    return whole;
  }

  async latest(namespace: string): Promise<SnapshotInfo | undefined> {
    const known = this.stored.filter(({ info }) => info.namespace === namespace);
    return known.sort((a, b) => b.info.sequence - a.info.sequence)[0]?.info;
  }

  async *read(info: SnapshotInfo): AsyncGenerator<readonly string[]> {
    if (this.damaged) throw replicationErrors.create('SNAPSHOT_DAMAGED', { ...info, problem: 'planned' });
    yield this.stored.find((one) => one.info.sha256 === info.sha256)?.lines ?? [];
  }

  async prune(namespace: string, keep: number): Promise<number> {
    const known = this.stored.filter(({ info }) => info.namespace === namespace);
    const gone = known.sort((a, b) => b.info.sequence - a.info.sequence).slice(keep);
    for (const one of gone) this.stored.splice(this.stored.indexOf(one), 1);
    return gone.length;
  }
}
