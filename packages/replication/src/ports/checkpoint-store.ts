/** Where a subscriber keeps the next offset to read of each topic. One writer per key. */
export interface CheckpointStore {
  get(key: string): Promise<number | null>;
  set(key: string, offset: number): Promise<void>;
  delete(key: string): Promise<void>;
  getAll(): Promise<Map<string, number>>;
}
