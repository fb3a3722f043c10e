/**
 * Broken config files: the rule, and the file. Each faulty line ends in `#!` and what must be said of it, all told;
 * several faults of a line have ` & ` between them.
 */
export const BROKEN: readonly (readonly [rule: string, yaml: string])[] = [
  [
    "a misspelt field",
    "services:\n  ControlNet:\n    scaling:\n      max_replica: 2 #! unknown field; did you mean max_replicas?",
  ],
  ["a misspelt field at the top", "service: #! unknown field; did you mean services?\n  ControlNet: {}"],
  ["camelCase", "services:\n  ControlNet:\n    instanceType: cpu.1 #! unknown field; did you mean instance_type?"],
  [
    "a field in the wrong group",
    "services:\n  ControlNet:\n    timeout: 30 #! unknown field; timeout belongs under services.ControlNet.config_overrides.traffic",
  ],
  [
    "a field one level too deep",
    "services:\n  ControlNet:\n    config_overrides:\n      deployment_strategy: Recreate #! unknown field; deployment_strategy belongs under services.ControlNet",
  ],
  [
    "secrets of a service",
    "services:\n  ControlNet:\n    secrets: [a] #! unknown field; secrets belongs at the top of the file",
  ],
  [
    "a field nobody knows",
    "services:\n  ControlNet:\n    scaling: { zzqx: 1 } #! unknown field; the fields here are min_replicas, max_replicas, policy",
  ],
  ["a synonym", "environment: [] #! unknown field; did you mean envs?"],
  [
    "a service the project has not",
    "services:\n  ControlNett: {} #! no such service; did you mean ControlNet? there are SDXLControlNetService, ControlNet",
  ],
  [
    "a service the project has not, in a canary",
    "canary:\n  route_type: random\n  versions:\n    b:\n      services:\n        Other: {} #! no such service; there are SDXLControlNetService, ControlNet",
  ],
  [
    "min over max",
    "services:\n  ControlNet:\n    scaling:\n      min_replicas: 3 #! 3 is over max_replicas, 2; raise max_replicas to 3, or lower min_replicas\n      max_replicas: 2",
  ],
  [
    "a part of a replica",
    "services:\n  ControlNet:\n    scaling:\n      min_replicas: 1.7 #! must be a whole number from 0, found 1.7; write 1 or 2",
  ],
  [
    "a number in quotes",
    'services:\n  ControlNet:\n    scaling:\n      max_replicas: "2" #! must be a whole number from 1, found "2"; write 2 without quotes',
  ],
  ["max 0", "services:\n  ControlNet:\n    scaling: { max_replicas: 0 } #! must be a whole number from 1, found 0"],
  [
    "a window out of range",
    "services:\n  ControlNet:\n    scaling:\n      policy:\n        scale_up_stabilization_window: 4000 #! must be whole seconds from 0 to 3600, found 4000",
  ],
  [
    "a strategy in small letters",
    'services:\n  ControlNet:\n    deployment_strategy: recreate #! must be RollingUpdate, Recreate, RampedSlowRollout or BestEffortControlledRollout, found "recreate"; did you mean Recreate?',
  ],
  [
    "a strategy that is not there",
    'services:\n  ControlNet:\n    deployment_strategy: BlueGreen #! must be RollingUpdate, Recreate, RampedSlowRollout or BestEffortControlledRollout, found "BlueGreen"',
  ],
  [
    "a word for a boolean",
    'access_authorization: nope #! must be true or bearer, false or none, or iam, found "nope"; did you mean none?',
  ],
  [
    "a boolean in quotes",
    'services:\n  ControlNet:\n    config_overrides:\n      traffic:\n        external_queue: "yes" #! must be true or false, found "yes"; write yes without quotes',
  ],
  [
    "a text for a list",
    'secrets: hf-token #! must be a list of names, found "hf-token"; write - hf-token on a line of its own',
  ],
  [
    "envs as a mapping",
    "envs: #! must be a list of name and value, found a mapping; write - name: LEVEL and, below it, value: debug\n  LEVEL: debug",
  ],
  ["an env without a value", "envs:\n  - name: LEVEL #! value: is missing"],
  [
    "a boolean as env",
    "envs:\n  - name: LEVEL\n    value: yes #! must be a text or a number, found true; write the text in quotes",
  ],
  [
    "an env that no shell would take",
    'envs:\n  - name: "my-level" #! must be the name of an environment variable: letters, digits and _, a letter first, found "my-level"\n    value: a',
  ],
  [
    "an env of Lambda's own",
    'envs:\n  - name: AWS_REGION #! "AWS_REGION" is a name that AWS Lambda sets itself; pick another name\n    value: a',
  ],
  [
    "an env twice",
    "envs:\n  - { name: A, value: 1 }\n  - { name: A, value: 2 } #! A is given twice, first as item 1; keep one of the two",
  ],
  [
    "a secret and an env of one name",
    "secrets: [hf-token]\nenvs:\n  - { name: HF_TOKEN, value: x } #! HF_TOKEN is given by the secret hf-token, too; keep one of the two",
  ],
  [
    "a wanted variable that is not given",
    "name: a #! API_KEY is wanted by bentofile.yaml, and SDXLControlNetService and ControlNet would not have it; add - name: API_KEY with its value",
  ],
  ["a repeated key", "name: one\nname: two #! given twice, first on line 1; keep one of the two"],
  ["a tab", "services:\n\tControlNet: {} #! Tabs are not allowed as indentation; indent with spaces"],
  ["a second document", "name: a\n--- #! more than one document; remove what follows ---\nname: b"],
  [
    "a quantity that is none",
    'services:\n  ControlNet:\n    config_overrides:\n      resources:\n        memory: lots #! "lots" must be memory such as 512Mi, 1Gi or 2G',
  ],
  [
    "thousandths of a byte",
    'services:\n  ControlNet:\n    config_overrides:\n      resources:\n        memory: 400m #! "400m" must be memory such as 512Mi, 1Gi or 2G; did you mean "400Mi"?',
  ],
  [
    "a byte for a gigabyte",
    'services:\n  ControlNet:\n    config_overrides:\n      resources:\n        memory: "4" #! "4" is 4 bytes, less than 1Mi; did you mean "4Gi"?',
  ],
  [
    "cores with the unit of memory",
    'services:\n  ControlNet:\n    config_overrides:\n      resources:\n        cpu: 400Mi #! "400Mi" must be cores such as 2 or 0.5, or thousandths such as 400m; write "400m" for thousandths',
  ],
  [
    "less than a thousandth of a core",
    "services:\n  ControlNet:\n    config_overrides:\n      resources:\n        cpu: 0.0005 #! 0.0005 is finer than a thousandth of a core; use whole m, as in 400m",
  ],
  [
    "one and a half GPUs",
    "services:\n  ControlNet:\n    config_overrides:\n      resources:\n        gpu: 1.5 #! must be below 1, to share a card, or whole, found 1.5",
  ],
  [
    "a GPU that is misspelt",
    "services:\n  ControlNet:\n    config_overrides:\n      resources:\n        gpu_type: nvidia_l40 #! did you mean nvidia-l40s?",
  ],
  [
    "a TPU",
    'services:\n  ControlNet:\n    config_overrides:\n      resources:\n        tpu_type: v5e #! must be left out: AWS has no TPUs, take gpu_type such as nvidia-l4, found "v5e"',
  ],
  [
    "a GPU on a machine without one",
    "services:\n  ControlNet:\n    instance_type: cpu.4\n    config_overrides:\n      resources:\n        gpu: 1 #! 1 GPU on cpu.4, which has none; take an instance_type such as gpu.l4.1",
  ],
  [
    "a worker's GPU on a machine without one",
    "services:\n  ControlNet:\n    instance_type: cpu.4\n    config_overrides:\n      workers: #! 1 GPU on cpu.4, which has none; take an instance_type such as gpu.l4.1\n        - gpu: 1",
  ],
  [
    "cpu_count workers with a GPU",
    "services:\n  ControlNet:\n    config_overrides:\n      resources: { gpu: 1 }\n      workers: cpu_count #! cpu_count workers get no GPU; write workers: 1",
  ],
  [
    "workers of no kind",
    'services:\n  ControlNet:\n    config_overrides:\n      workers: many #! must be a whole number from 1, cpu_count, or a list with one item a worker, found "many"',
  ],
  [
    "no workers",
    "services:\n  ControlNet:\n    config_overrides:\n      workers: 0 #! must be a whole number from 1, found 0",
  ],
  [
    "a worker's field that is misspelt",
    "services:\n  ControlNet:\n    config_overrides:\n      workers:\n        - gpuss: 1 #! unknown field; did you mean gpus?",
  ],
  [
    "more GPUs dealt out than there are",
    "services:\n  ControlNet:\n    config_overrides:\n      resources: { gpu: 1 }\n      workers: #! deals out 2 GPUs, and resources.gpu is 1; set resources.gpu to 2\n        - { gpus: 1 }\n        - { gpus: 1 }",
  ],
  [
    "a timeout of 0",
    "services:\n  ControlNet:\n    config_overrides:\n      traffic:\n        timeout: 0 #! must be seconds over 0, such as 90, or a text such as 90s, 15m or 1h30m, found 0",
  ],
  [
    "a timeout in an unknown unit",
    'services:\n  ControlNet:\n    config_overrides:\n      traffic:\n        timeout: 15 minutes #! did you mean "15m"?',
  ],
  [
    "a duration finer than a millisecond",
    "services:\n  ControlNet:\n    config_overrides:\n      traffic:\n        timeout: 0.0001 #! 0.0001 is finer than a millisecond; write 0.001",
  ],
  [
    "concurrency over its limit",
    "services:\n  ControlNet:\n    config_overrides:\n      traffic:\n        concurrency: 8 #! 8 is over max_concurrency, 4; raise max_concurrency to 8, or leave it out\n        max_concurrency: 4",
  ],
  [
    "an octal number",
    "services:\n  ControlNet:\n    config_overrides:\n      traffic:\n        timeout: 0700 #! 0700 is octal to BentoML and decimal to others; write 700",
  ],
  ["a number as a name", 'name: 2024 #! found 2024; write "2024" in quotes'],
  ["a name with capitals", 'name: My App #! found "My App"; write my-app'],
  [
    "a machine without a size",
    'services:\n  ControlNet:\n    instance_type: gpu #! must be a family and a size, such as cpu.1 or gpu.l4.1, found "gpu"',
  ],
  [
    "a codespace",
    "dev: true #! must be false or left out: codespaces are BentoCloud's, and tandem serve is ours, found true",
  ],
  [
    "a stored bento",
    'bento: summarization:latest #! "summarization:latest" names a stored bento, and Tandem deploys from a folder; write the folder, as in bento: .',
  ],
  [
    "weights over 100",
    "canary:\n  route_type: random\n  versions: #! weights add up to 120 percent; keep them within 100; the rest goes to main\n    a: { weight: 60 }\n    b: { weight: 60 }",
  ],
  [
    "a canary without route_by",
    "canary: #! route_type header needs route_by; name the header\n  route_type: header\n  versions: {}",
  ],
  [
    "a canary that is called main",
    "canary:\n  route_type: random\n  versions:\n    main: { weight: 5 } #! is what the rest of the calls goes to; name it as in next or v2\n    Big_One: { weight: 5 } #! must be a label in small letters",
  ],
  [
    "a stored bento in a canary",
    "canary:\n  route_type: random\n  versions:\n    next: { bento: app:v2, weight: 5 } #! names a stored bento, and Tandem deploys from a folder; write the folder",
  ],
  [
    "days that CloudWatch does not know",
    "aws:\n  log_retention_days: 10 #! 10 is no number of days that CloudWatch keeps logs for; write 14",
  ],
  ["an address that is none", 'aws:\n  alarm_email: ops #! must be an e-mail address, found "ops"'],
  [
    "a machine without what it has",
    "aws:\n  instance_types:\n    - { name: gpu.l4.big, ec2: g6.4xlarge, memory: 64Gi, gpus: 1, gpu_type: nvidia-l4 } #! vcpu: is missing",
  ],
  [
    "machines of one name, and of a function's",
    "aws:\n  instance_types:\n    - { name: cpu.9, ec2: g6.4xlarge, vcpu: 16, memory: 64Gi, gpus: 1, gpu_type: nvidia-l4 } #! is the name of a function's size, and this has GPUs; start it with gpu.\n    - { name: gpu.a.1, ec2: g6.xlarge, vcpu: 4, memory: 16Gi, gpus: 1, gpu_type: nvidia-l4 }\n    - { name: gpu.a.1, ec2: g5.xlarge, vcpu: 4, memory: 16Gi, gpus: 1, gpu_type: nvidia-a10g } #! gpu.a.1 is given twice, first as item 2",
  ],
  [
    "a service's field of aws at the top",
    "aws:\n  spot_percent: 50 #! unknown field; spot_percent belongs under services.<Name>.aws",
  ],
  [
    "a backend on a machine without a GPU",
    "services:\n  ControlNet:\n    instance_type: cpu.1\n    aws:\n      backend: lambda #! is for services with a GPU, and this is on cpu.1; leave it out",
  ],
  [
    "fallbacks that are none",
    "services:\n  ControlNet:\n    instance_type: gpu.l4.1\n    aws:\n      fallback_instance_types:\n        - gpu.l4.1 #! gpu.l4.1 is the instance_type, which is tried first; leave it out\n        - gpu.a10g.1\n        - gpu.a10g.1 #! gpu.a10g.1 is given twice; keep one of the two\n        - cpu.8 #! cpu.8 has no GPU; name one that has, such as gpu.l4.1",
  ],
  [
    "an image, a disk, weights and a share that AWS would not take",
    'services:\n  ControlNet:\n    instance_type: gpu.l4.1\n    aws:\n      ami: my-image #! must be the id of an image, such as ami-0123456789abcdef0, found "my-image"\n      root_volume: 8Gi #! "8Gi" is less than the 30Gi of ECS\'s image; write 30Gi or more\n      model_url: https://example.com/model #! must be a bucket or what is below it, such as s3://bucket/sdxl/\n      spot_percent: 0.5 #! must be a whole number from 0 to 100, found 0.5',
  ],
  [
    "labels as a mapping",
    "labels: #! must be a list of key and value, found a mapping; write - key: team and, below it, value: vision\n  team: vision",
  ],
  [
    "labels of one name",
    "labels:\n  - { key: a, value: b }\n  - { key: a, value: c } #! a is given twice, first as item 1; keep one of the two",
  ],
  [
    "metrics with both kinds of bounds",
    "services:\n  ControlNet:\n    config_overrides:\n      metrics:\n        duration:\n          buckets: [1, 2] #! excludes min, max and factor; keep one of the two\n          min: 1",
  ],
  ["a tag of another tool", 'name: !Ref Stack #! Unresolved tag: !Ref & found "Stack"; write stack'],
  [
    "an alias without an anchor",
    "envs: *common #! no anchor &common stands before this; write &common where it is first used",
  ],
  ["a merge of a text", "services:\n  ControlNet:\n    <<: cpu #! << merges a mapping or a list of mappings"],
  [
    "a list at the top",
    "- name: a #! must be a mapping, such as services: with what follows it indented, found a list",
  ],
  ["a key that reaches behind objects", "services:\n  __proto__: {} #! cannot be a key"],
  [
    "names that every object has",
    "constructor: 1 #! unknown field; the fields here are\nservices:\n  toString: {} #! no such service\n  ControlNet:\n    valueOf: 1 #! unknown field; the fields here are",
  ],
  [
    "everything at once",
    'name: A B #! found "A B"\nnmae: x #! unknown field; did you mean name?\nservices:\n  ControlNet:\n    scaling:\n      min_replicas: 3 #! 3 is over max_replicas\n      max_replicas: 2\n    envs:\n      - { name: A } #! is missing\n    config_overrides:\n      resources: { cpu: lots, gpu: 1.5 } #! must be cores & must be below 1\n      workers: 0 #! from 1',
  ],
];
