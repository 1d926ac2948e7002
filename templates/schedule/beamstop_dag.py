"""An Airflow DAG: launch the Flex Template every night, wait for the job, and say whether it was done."""

import json
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.google.cloud.operators.dataflow import DataflowStartFlexTemplateOperator
from airflow.sdk import DAG

# The body that Cloud Scheduler sends too; it lies beside this file.
BODY = json.loads(Path(__file__).with_name("cloud-scheduler.json").read_text())

with DAG(
    dag_id="beamstop",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
) as dag:
    DataflowStartFlexTemplateOperator(
        task_id="beamstop",
        project_id="PROJECT",
        location="REGION",
        body=BODY,
        append_job_name=False,  # Dataflow refuses a second job of a name that runs: no two runs at once
        deferrable=True,  # waits for the job, in no worker of Airflow
        retries=2,
        retry_delay=timedelta(minutes=10),
    )
