{{/* The restricted pod standard, and what it leaves open. */}}
{{- define "service.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ int64 .Values.runAsUser }}
runAsGroup: {{ int64 .Values.runAsUser }}
fsGroup: {{ int64 .Values.runAsUser }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "service.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* What a probe does. Takes a list: context, path, more arguments of `healthcheck`. */}}
{{- define "service.probe" -}}
{{- $context := index . 0 -}}
{{- if eq $context.Values.probes.method "exec" -}}
exec:
  command: [/{{ $context.Chart.Name }}-service, healthcheck{{ range index . 2 }}, {{ . }}{{ end }}]
{{- else -}}
httpGet:
  path: {{ index . 1 }}
  port: admin
{{- end -}}
{{- end -}}

{{- define "service.spread" -}}
{{- $context := . -}}
{{- range $key, $when := dict "topology.kubernetes.io/zone" .Values.spread.zone "kubernetes.io/hostname" .Values.spread.host }}
{{- /* YAML takes a bare off for false. */}}
{{- if and $when (ne $when "off") }}
- topologyKey: {{ $key }}
  maxSkew: 1
  whenUnsatisfiable: {{ $when }}
  labelSelector:
    matchLabels:
      {{- include "service.selector" $context | nindent 6 }}
  {{- if include "service.since" (list $context "1.27") }}
  # Each version is spread by itself: pods that are about to go do not count.
  matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "service.deployment" -}}
{{- $v := .Values -}}
{{- $n := include "service.numbers" . | fromYaml -}}
{{- $spread := include "service.spread" . | trim -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "service.fullname" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "service.labels" . | nindent 4 }}
spec:
  {{- if eq $v.autoscaling.mode "fixed" }}
  replicas: {{ int $v.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  minReadySeconds: {{ int $v.minReadySeconds }}
  progressDeadlineSeconds: {{ int $v.progressDeadlineSeconds }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 25%
  selector:
    matchLabels:
      {{- include "service.selector" . | nindent 6 }}
  template:
    metadata:
      # Without the chart's version, which would restart pods that run what they should.
      labels:
        {{- include "service.selector" . | nindent 8 }}
        app.kubernetes.io/part-of: tripod
        app.kubernetes.io/version: {{ include "service.version" . | quote }}
        {{- with $v.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        kubectl.kubernetes.io/default-container: service
        # New settings restart the pods.
        checksum/settings: {{ include "service.settings" . | sha256sum | quote }}
        {{- with $v.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "service.serviceAccountName" . | quote }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ int $n.grace }}
      securityContext:
        {{- include "service.podSecurity" . | nindent 8 }}
      {{- with $v.imagePullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . | quote }}
        {{- end }}
      {{- end }}
      {{- with $v.priorityClassName }}
      priorityClassName: {{ . | quote }}
      {{- end }}
      {{- if or $v.architecture $v.nodeSelector }}
      nodeSelector:
        {{- with $v.architecture }}
        kubernetes.io/arch: {{ . }}
        {{- end }}
        {{- with $v.nodeSelector }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      {{- with $v.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $v.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $spread }}
      topologySpreadConstraints:
        {{- . | nindent 8 }}
      {{- end }}
      containers:
        - name: service
          image: {{ include "service.image" (list . $v.image.repository (include "service.imageTag" .) $v.image.digest) | quote }}
          imagePullPolicy: {{ include "service.pullPolicy" . }}
          securityContext:
            {{- include "service.containerSecurity" . | nindent 12 }}
          ports:
            - name: http
              containerPort: 8080
              protocol: TCP
            - name: admin
              containerPort: 9090
              protocol: TCP
          envFrom:
            - configMapRef:
                name: {{ include "service.fullname" . }}-settings
          env:
            # CPUs set aside, rounded up: without a CPU limit the service would see all of the node's.
            - name: WORKERS
              valueFrom:
                resourceFieldRef:
                  containerName: service
                  resource: requests.cpu
                  divisor: "1"
            {{- with $v.database }}
            {{- if .urlKey }}
            - name: DATABASE_URL
              valueFrom:
                secretKeyRef:
                  name: {{ .existingSecret | quote }}
                  key: {{ .urlKey | quote }}
            {{- end }}
            {{- end }}
            {{- with $v.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          resources:
            requests:
              cpu: {{ $v.resources.requests.cpu | toString | quote }}
              memory: {{ include "service.quantity" $v.resources.requests.memory }}
            limits:
              memory: {{ include "service.quantity" $v.resources.limits.memory }}
          # Whether it listens, not whether it is ready: a pod whose database is away waits unready and is not killed for it.
          startupProbe:
            {{- include "service.probe" (list . "/livez" (list "--live")) | nindent 12 }}
            periodSeconds: 2
            timeoutSeconds: 1
            failureThreshold: {{ max 1 (div (int $v.probes.startupSeconds) 2) }}
          readinessProbe:
            {{- include "service.probe" (list . "/readyz" (list)) | nindent 12 }}
            periodSeconds: {{ int $v.probes.readinessPeriodSeconds }}
            timeoutSeconds: 1
            failureThreshold: {{ int $v.probes.readinessFailures }}
          livenessProbe:
            {{- include "service.probe" (list . "/livez" (list "--live")) | nindent 12 }}
            periodSeconds: {{ int $v.probes.livenessPeriodSeconds }}
            timeoutSeconds: 5
            failureThreshold: {{ int $v.probes.livenessFailures }}
          {{- if gt (int $v.preStopSleepSeconds) 0 }}
          lifecycle:
            preStop:
              sleep:
                seconds: {{ int $v.preStopSleepSeconds }}
          {{- end }}
          {{- with include "service.volumeMounts" . | trim }}
          volumeMounts:
            {{- . | nindent 12 }}
          {{- end }}
      {{- with include "service.volumes" . | trim }}
      volumes:
        {{- . | nindent 8 }}
      {{- end }}
{{- end -}}

{{- define "service.quantity" -}}
{{- if kindIs "string" . -}}{{ . | quote }}{{- else -}}{{ int64 . | toString | quote }}{{- end -}}
{{- end -}}

{{- define "service.volumeMounts" -}}
{{- with .Values.database }}
{{- if not .urlKey }}
- name: database
  mountPath: /etc/tripod/database
  readOnly: true
{{- end }}
{{- if or .caConfigMap .caSecret }}
- name: authorities
  mountPath: /etc/tripod/authorities
  readOnly: true
{{- end }}
{{- end }}
{{- end -}}

{{- define "service.volumes" -}}
{{- $context := . -}}
{{- with .Values.database }}
{{- if not .urlKey }}
- name: database
  secret:
    secretName: {{ include "service.databaseSecret" $context | quote }}
    defaultMode: 0440
    items:
      - key: {{ .passwordKey | quote }}
        path: password
{{- end }}
{{- if .caConfigMap }}
- name: authorities
  configMap:
    name: {{ .caConfigMap | quote }}
    items:
      - key: {{ .caKey | quote }}
        path: {{ .caKey | quote }}
{{- else if .caSecret }}
- name: authorities
  secret:
    secretName: {{ .caSecret | quote }}
    defaultMode: 0440
    items:
      - key: {{ .caKey | quote }}
        path: {{ .caKey | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "service.databaseSecret" -}}
{{- default (printf "%s-database" (include "service.fullname" .)) .Values.database.existingSecret -}}
{{- end -}}
