/** Who was heard of when. A hint for people and for redirects: it never decides who leads. */
export interface HeartbeatService {
  sendHeartbeat(nodeId: string): Promise<void> | void;
  /** Unix ms by this node's clock, of the last beat heard here; null when none was. */
  getLastHeartbeat(nodeId: string): number | null;
  isAlive(nodeId: string, timeoutMs: number): boolean;
  /** Calls back when a leader comes or goes; returns what ends it. */
  onLeaderStatus(callback: (leaderId: string, alive: boolean) => void): () => void;
}
