/** How busy this machine is, each as a part 0..1: what placement and people look at. Sampled, never waited for. */
import { statfs } from 'node:fs/promises';
import { availableParallelism, freemem, loadavg, totalmem } from 'node:os';

export interface NodeLoad {
  /** One-minute load average over the number of processors. */
  readonly cpu: number;
  readonly memory: number;
  /** Of the file system that holds the data directory. */
  readonly disk: number;
}

/** Never rejects: a part that can't be read is 0. */
export async function sampleLoad(directory: string): Promise<NodeLoad> {
  const disk = await statfs(directory).then(
    (fs) => (fs.blocks === 0 ? 0 : 1 - fs.bavail / fs.blocks),
    () => 0,
  );
  return {
    cpu: part((loadavg()[0] ?? 0) / availableParallelism()),
    memory: part(1 - freemem() / totalmem()),
    disk: part(disk),
  };
}

function part(value: number): number {
  return Math.round(Math.min(1, Math.max(0, value)) * 1000) / 1000;
}
