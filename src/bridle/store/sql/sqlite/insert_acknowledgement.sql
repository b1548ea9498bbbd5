-- A worker has seen every change up to this one.
INSERT INTO acknowledgements (worker, generation, at) VALUES (?, ?, ?) ON CONFLICT (worker) DO UPDATE SET generation = excluded.generation, at = excluded.at
