-- What PostgreSQL itself counts of statements: SELECT * FROM pg_stat_statements ORDER BY total_exec_time DESC;
CREATE EXTENSION pg_stat_statements;
